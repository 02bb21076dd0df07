import { cashIn, transaction } from './payments.js';

const form = document.querySelector('form');
const button = form.querySelector('button');
const say = (text) => (document.querySelector('[role=status]').textContent = text);

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  button.disabled = true; // one payment per press
  const { number, amount } = Object.fromEntries(new FormData(form));
  const key = crypto.randomUUID().replaceAll('-', '');
  say('Sending ...');
  const result = await cashIn({ number, amount: Number(amount), key });
  if (result.outcome === 'unknown') {
    // The button stays disabled: a second payment could take the money twice.
    return say(`The payment may have been sent (${result.reason}). Check your phone before you try again.`);
  }
  if (result.outcome !== undefined) say(`Nothing was taken: ${result.reason}. You may try again.`);
  else say(await settled(result.answer.ref));
  button.disabled = false;
});

/** Waits until the customer has decided on the phone. */
async function settled(ref) {
  for (let i = 0; i < 60; i++) {
    const { answer } = await transaction(ref);
    if (answer !== undefined && answer.status !== 'pending') return `Payment ${ref}: ${answer.status}`;
    say(`Payment ${ref}: pending. Confirm it on your phone.`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  return `Payment ${ref} is still pending.`;
}
