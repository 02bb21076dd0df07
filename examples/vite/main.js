import { cashIn, transaction } from './payments.js';

const form = document.querySelector('form');
const button = form.querySelector('button');
const say = (text) => (document.querySelector('[role=status]').textContent = text);

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  button.disabled = true; // one payment for one press
  const { number, amount } = Object.fromEntries(new FormData(form));
  const key = crypto.randomUUID().replaceAll('-', '');
  say('Asking ...');
  const asked = await cashIn({ number, amount: Number(amount), key });
  if (asked.outcome === 'unknown') {
    // The button stays off: a second payment could take the money twice.
    return say(`Nobody knows whether it was sent (${asked.reason}). Look at your phone before you try again.`);
  }
  if (asked.outcome !== undefined) say(`Nothing was taken: ${asked.reason}. You may try again.`);
  else say(await settled(asked.answer.ref));
  button.disabled = false;
});

/** Waits until the customer has answered on the phone. */
async function settled(ref) {
  for (let i = 0; i < 60; i++) {
    const { answer } = await transaction(ref);
    if (answer !== undefined && answer.status !== 'pending') return `Payment ${ref}: ${answer.status}`;
    say(`Payment ${ref}: pending. Confirm it on your phone.`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  return `Payment ${ref} is still pending.`;
}
