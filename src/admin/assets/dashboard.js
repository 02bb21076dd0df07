// The script of the admin pages: updates durations, keeps the page current, and sends forms without leaving the page.
'use strict';
(() => {
  const live = document.querySelector('[data-live]');
  const state = document.getElementById('live');
  const pause = document.getElementById('pause');
  // How far the clock of the server is ahead of this browser's.
  let aheadMs = Number(document.body.dataset.now) - Date.now();
  let events;
  let isLoading = false;
  // Arguments of the load that follows the current one.
  let nextLoad;
  document.documentElement.classList.add('js');

  // Same as formatDuration in src/format.ts.
  function formatDuration(ms) {
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
      const text = until !== undefined && left <= 0 ? over : formatDuration(left);
      if (element.textContent !== text) element.textContent = text;
    }
  }

  // Changes `from` into `to` in place. Unchanged elements keep their focus, selection and open state.
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

  // `evenIfPaused`: after an action of the user.
  async function load(evenIfPaused = false) {
    if (live === null) return;
    if (isLoading) {
      nextLoad = { evenIfPaused: evenIfPaused || nextLoad?.evenIfPaused };
      return;
    }
    isLoading = true;
    try {
      const response = await fetch(location.href, { headers: { accept: 'text/html' } });
      if (!response.ok) return;
      const text = await response.text();
      if (isPaused() && !evenIfPaused) return;
      const page = new DOMParser().parseFromString(text, 'text/html');
      const next = page.getElementById(live.id);
      if (next === null) return;
      aheadMs = Number(page.body.dataset.now) - Date.now();
      const focused = document.activeElement;
      morph(live, next);
      if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
      tick();
    } catch {
      // The event stream reports a lost connection.
    } finally {
      isLoading = false;
      const next = nextLoad;
      nextLoad = undefined;
      if (next !== undefined) void load(next.evenIfPaused);
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

  function showMessage(text) {
    document.getElementById('message').textContent = text;
  }

  async function send(form) {
    const isResend = form.dataset.action === 'resend';
    showMessage(isResend ? 'Sending …' : 'Requesting a token …');
    try {
      const response = await fetch(form.action, { method: 'POST', headers: { accept: 'application/json' } });
      const json = await response.json();
      if (!response.ok) showMessage(json.detail);
      else if (isResend) location.href = '/requests?q=' + encodeURIComponent(json.request_id);
      else showMessage(json.route + ' has a new token: its fingerprint is ' + json.fingerprint + '.');
    } catch {
      showMessage('Wakala did not respond.');
    }
    await load(true);
  }

  async function copy(button) {
    const field = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(field.value);
      showMessage('Copied.');
    } catch {
      // Only pages over TLS or from this machine may write to the clipboard.
      field.select();
      showMessage('Selected: press Ctrl+C to copy it.');
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
  // Do not show the result of a form again after a reload.
  if (/[?&](not_)?refreshed=/.test(location.search)) history.replaceState(null, '', '/');
  setInterval(tick, 1000);
  tick();
  follow();
})();
