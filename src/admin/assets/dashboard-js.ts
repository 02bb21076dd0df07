/** The script of the pages: counts times, keeps what is shown up to date, and sends forms without leaving the page. */
export const DASHBOARD_JS = `'use strict';
(() => {
  const live = document.querySelector('[data-live]');
  const state = document.getElementById('live');
  const pause = document.getElementById('pause');
  let aheadMs = Number(document.body.dataset.now) - Date.now();
  let events;
  let loading = false;
  let again;
  document.documentElement.classList.add('js');

  function inWords(ms) {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    if (seconds < 60) return seconds + ' s';
    if (seconds < 3600) return Math.floor(seconds / 60) + ' min ' + (seconds % 60) + ' s';
    if (seconds < 86400) return Math.floor(seconds / 3600) + ' h ' + Math.floor((seconds % 3600) / 60) + ' min';
    return Math.floor(seconds / 86400) + ' d ' + Math.floor((seconds % 86400) / 3600) + ' h';
  }

  function tick() {
    const now = Date.now() + aheadMs;
    for (const element of document.querySelectorAll('[data-until], [data-since]')) {
      const { until, since, over } = element.dataset;
      const left = until === undefined ? now - Number(since) : Number(until) - now;
      const text = until !== undefined && left <= 0 ? over : inWords(left);
      if (element.textContent !== text) element.textContent = text;
    }
  }

  // Makes \`from\` what \`to\` is and leaves what is the same alone: focus, selection and what is open stay.
  function morph(from, to) {
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.data !== to.data) from.data = to.data;
      return;
    }
    for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
    for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    const byId = new Map([...from.children].filter(({ id }) => id !== '').map((child) => [child.id, child]));
    let at = from.firstChild;
    for (const next of [...to.childNodes]) {
      const alike = at && !at.id && !next.id && at.nodeName === next.nodeName ? at : undefined;
      const match = next.id ? byId.get(next.id) : alike;
      if (match === undefined) {
        from.insertBefore(next, at);
        continue;
      }
      if (match === at) at = at.nextSibling;
      else from.insertBefore(match, at);
      morph(match, next);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  const isPaused = () => pause?.getAttribute('aria-pressed') === 'true';

  // \`asked\`: by the one who looks, and so even while the page is paused.
  async function load(asked) {
    if (live === null) return;
    if (loading) {
      again = { asked: asked || again?.asked };
      return;
    }
    loading = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' } });
      if (!answer.ok) return;
      const text = await answer.text();
      if (isPaused() && !asked) return;
      const page = new DOMParser().parseFromString(text, 'text/html');
      const next = page.getElementById(live.id);
      if (next === null) return;
      aheadMs = Number(page.body.dataset.now) - Date.now();
      const focused = document.activeElement;
      morph(live, next);
      if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
      tick();
    } catch {
      // The stream of events says that the connection is lost.
    } finally {
      loading = false;
      const next = again;
      again = undefined;
      if (next !== undefined) void load(next.asked);
    }
  }

  function follow() {
    events?.close();
    events = undefined;
    if (live === null) return;
    if (isPaused() || document.hidden) {
      show(isPaused() ? 'paused' : 'waiting', 'off');
      return;
    }
    events = new EventSource('/api/events?brief=true');
    events.onopen = () => show('live', 'on');
    events.onerror = () => show('not connected', 'off');
    events.addEventListener(live.id === 'live-requests' ? 'request' : 'routes', () => void load());
    if (live.id === 'live-requests') void load();
  }

  function show(text, name) {
    state.textContent = text;
    state.className = name;
  }

  function say(text) {
    document.getElementById('message').textContent = text;
  }

  async function send(form) {
    const isReplay = form.dataset.action === 'replay';
    say(isReplay ? 'Sending …' : 'Asking for a token …');
    try {
      const answer = await fetch(form.action, { method: 'POST', headers: { accept: 'application/json' } });
      const json = await answer.json();
      if (!answer.ok) say(json.detail);
      else if (isReplay) location.href = '/requests?q=' + encodeURIComponent(json.request_id);
      else say(json.route + ' has a new token: its fingerprint is ' + json.fingerprint + '.');
    } catch {
      say('Wakala gave no answer.');
    }
    await load(true);
  }

  async function copy(button) {
    const field = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(field.value);
      say('Copied.');
    } catch {
      // A page that did not come over TLS or from this machine may not write to the clipboard.
      field.select();
      say('Selected: press Ctrl+C to copy it.');
    }
  }

  document.addEventListener('submit', (event) => {
    if (event.target.dataset.action === undefined) return;
    event.preventDefault();
    void send(event.target);
  });
  document.addEventListener('click', (event) => {
    if (event.target.dataset?.copy !== undefined) void copy(event.target);
  });
  pause?.addEventListener('click', () => {
    pause.setAttribute('aria-pressed', String(!isPaused()));
    follow();
    if (!isPaused()) void load();
  });
  document.addEventListener('visibilitychange', follow);
  // What a form without scripts said is not to be said again on a reload.
  if (/[?&](not_)?refreshed=/.test(location.search)) history.replaceState(null, '', '/');
  setInterval(tick, 1000);
  tick();
  follow();
})();
`;
