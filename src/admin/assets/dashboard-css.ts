/** The stylesheet of the pages. Contrast is at least 4.5 to 1 for text, in light and in dark. */
export const DASHBOARD_CSS = `
:root {
  color-scheme: light dark;
  --back: #f6f7f8;
  --card: #ffffff;
  --text: #1b2126;
  --soft: #57616b;
  --line: #d9dee3;
  --link: #0b5a8f;
  --good: #2f7d4f;
  --warn: #8a5a00;
  --warn-back: #fff6e0;
  --bad: #b3261e;
  --bad-back: #fdecea;
  --s3: #4b7fb5;
  --s4: #c07a00;
  --s0: #7a848e;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14181b;
    --card: #1c2125;
    --text: #e4e8eb;
    --soft: #a0abb5;
    --line: #333b42;
    --link: #7cc0f2;
    --good: #63c08a;
    --warn: #e6b04a;
    --warn-back: #2d2614;
    --bad: #ff8a80;
    --bad-back: #351c1b;
    --s3: #6fa3d8;
    --s4: #e0a040;
    --s0: #8b959f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto;
  max-width: 1360px;
  padding: 0 20px 24px;
  background: var(--back);
  color: var(--text);
  font: 14px/1.45 system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif;
  font-variant-numeric: tabular-nums;
}
p, h1, h2, dl, dd, ul { margin: 0; padding: 0; }
h1 { font-size: 18px; font-weight: 650; margin: 14px 0 10px; }
h2 { font-size: 15px; font-weight: 650; }
code, pre, textarea { font-family: var(--mono); font-size: 12.5px; }
a { color: var(--link); text-underline-offset: 2px; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 2px; }
main:focus { outline: none; }
button, input, select {
  font: inherit;
  color: inherit;
  background: var(--card);
  border: 1px solid var(--soft);
  border-radius: 5px;
  padding: 3px 10px;
  min-height: 30px;
}
button { cursor: pointer; }
button:hover { border-color: var(--link); color: var(--link); }
.js-only { display: none; }
.js .js-only { display: inline-flex; }
.skip { position: absolute; left: -9999px; }
.skip:focus { left: 20px; top: 6px; background: var(--card); padding: 6px 10px; z-index: 1; }

.emulated { margin: 0 -20px; padding: 5px 20px; background: #ffd84d; color: #1b1b1b; }
header { display: flex; align-items: center; gap: 8px 22px; padding: 10px 0; border-bottom: 1px solid var(--line); flex-wrap: wrap; }
.brand { font-weight: 700; letter-spacing: 0.01em; }
nav { display: flex; gap: 16px; }
nav a { text-decoration: none; padding: 3px 0; border-bottom: 2px solid transparent; }
nav a[aria-current] { color: var(--text); font-weight: 600; border-color: var(--text); }
.live { align-items: center; gap: 10px; margin-left: auto; color: var(--soft); }
.live .on::before, .live .off::before { content: ''; display: inline-block; width: 8px; height: 8px; border-radius: 50%; margin-right: 6px; background: var(--s0); }
.live .on::before { background: var(--good); }
#message:not(:empty) { margin-top: 12px; padding: 7px 12px; border: 1px solid var(--line); border-left: 3px solid var(--link); background: var(--card); border-radius: 3px; }
footer { display: flex; gap: 6px 24px; flex-wrap: wrap; margin-top: 26px; padding-top: 10px; border-top: 1px solid var(--line); color: var(--soft); font-size: 12.5px; }
footer ul { display: flex; gap: 4px 14px; flex-wrap: wrap; list-style: none; }

.filter { display: flex; flex-wrap: wrap; gap: 8px 10px; align-items: end; margin-bottom: 12px; }
.filter > label { align-self: center; color: var(--soft); }
.filter label > span { display: block; font-size: 12px; color: var(--soft); }
.filter input { width: 230px; max-width: 100%; }
.filter select { max-width: 190px; }
.filter > a { align-self: center; }

.summary { margin-bottom: 12px; }
.summary .facts { display: flex; flex-wrap: wrap; gap: 4px 28px; }
.summary dd, .about dd { font-weight: 600; }
.facts > div { display: flex; gap: 8px; }
.facts dt { color: var(--soft); }
.facts dd { min-width: 0; overflow-wrap: anywhere; }

.route { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--good); border-radius: 5px; margin-bottom: 10px; padding: 11px 14px; }
.route.warning { border-left-color: var(--warn); }
.route.failing { border-left-color: var(--bad); }
.columns { display: grid; grid-template-columns: minmax(0, 1.1fr) minmax(0, 1.2fr) minmax(0, 1fr) minmax(0, 1fr); gap: 12px 32px; }
.columns .facts { font-size: 12.5px; line-height: 1.35; }
.columns .facts > div { justify-content: space-between; }
.columns .facts dd { text-align: right; }
.who h2 { font-family: var(--mono); font-size: 14.5px; overflow-wrap: anywhere; }
.who .upstream { font-family: var(--mono); font-size: 12px; color: var(--soft); overflow-wrap: anywhere; margin-top: 3px; }
.environment { display: inline-block; font-size: 12px; border: 1px solid var(--line); border-radius: 3px; padding: 0 6px; margin-top: 3px; color: var(--soft); }
.environment.production { background: var(--bad); border-color: var(--bad); color: var(--card); font-weight: 700; letter-spacing: 0.04em; }
.label { font-size: 12px; color: var(--soft); }
.big { font-size: 15px; margin-bottom: 3px; }
.big strong { font-size: 17px; font-weight: 650; }
.who form { margin-top: 8px; }
.who button { font-size: 13px; min-height: 28px; padding: 2px 9px; }
.spark { display: block; width: 100%; height: 32px; margin: 2px 0 5px; border-bottom: 1px solid var(--line); overflow: visible; }
.token .spark { height: 16px; margin: 5px 0 0; }
.spark .s2, .spark .exchange { fill: var(--good); }
.spark .s3 { fill: var(--s3); }
.spark .s4 { fill: var(--s4); }
.spark .s5 { fill: var(--bad); }
.spark .s0 { fill: var(--s0); }
.spark .line { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; stroke: var(--s0); }
.spark .p50 { stroke: var(--good); }
.spark .p95 { stroke: var(--s3); }
.key::before { content: ''; display: inline-block; width: 8px; height: 8px; margin-right: 6px; background: var(--s0); }
.key.s2::before { background: var(--good); }
.key.s3::before { background: var(--s3); }
.key.s4::before { background: var(--s4); }
.key.s5::before { background: var(--bad); }

.problem { margin-top: 10px; padding: 8px 12px; border-radius: 4px; background: var(--warn-back); border-left: 3px solid var(--warn); }
.problem.failing { background: var(--bad-back); border-left-color: var(--bad); }
.problem .when { color: var(--soft); font-size: 12.5px; }
strong.failing, .problem.failing .what > strong { color: var(--bad); }
.problem.warning .what > strong { color: var(--warn); }
[data-live] > .problem { margin: 0 0 10px; }
.empty { color: var(--soft); padding: 10px 0; }

section { margin-top: 18px; }
section > h2 { margin-bottom: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: 5px; }
caption { text-align: left; color: var(--soft); font-size: 12.5px; padding: 0 0 5px; }
th, td { text-align: left; padding: 5px 10px; border-top: 1px solid var(--line); vertical-align: top; font-weight: 400; white-space: nowrap; }
thead th { color: var(--soft); font-size: 12.5px; border-top: 0; }
td.num, th.num { text-align: right; }
td.wide { width: 100%; max-width: 0; min-width: 240px; overflow: hidden; text-overflow: ellipsis; }
.requests tbody tr:hover { background: var(--back); }
.status { font-weight: 600; }
.status.s2 { color: var(--good); }
.status.s4 { color: var(--warn); }
.status.s5 { color: var(--bad); }
.code { margin-left: 8px; color: var(--soft); font-size: 12.5px; }

.back { margin-top: 14px; }
h1.request { overflow-wrap: anywhere; margin-top: 6px; }
h1.request code { font-size: 16px; }
.about .facts { display: flex; flex-wrap: wrap; gap: 4px 28px; margin: 8px 0; }
.timing { table-layout: fixed; }
.timing th { width: 340px; }
.timing th.num { width: 100px; }
.timing th:last-child { width: auto; }
.timing tbody th { white-space: normal; }
.span { display: block; width: 100%; height: 18px; }
.span rect { fill: var(--s3); }
.span .token { fill: var(--s4); }
.span .client-body { fill: var(--s0); }
.span .answer-body { fill: var(--good); }
.size { font-weight: 400; color: var(--soft); margin-left: 10px; font-size: 12.5px; }
.headers caption { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
.headers th { color: var(--soft); width: 220px; }
.headers th, .headers td { font-family: var(--mono); font-size: 12.5px; padding: 3px 10px; white-space: normal; overflow-wrap: anywhere; }
pre { margin: 8px 0 0; padding: 10px 12px; background: var(--card); border: 1px solid var(--line); border-radius: 5px; overflow-x: auto; max-height: 420px; }
.why { color: var(--soft); margin-top: 6px; }
textarea { width: 100%; margin: 4px 0 6px; padding: 8px 10px; color: inherit; background: var(--card); border: 1px solid var(--soft); border-radius: 5px; }
.buttons { display: flex; gap: 10px; }

@media (max-width: 1080px) {
  .columns { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
}
@media (max-width: 620px) {
  body { padding: 0 12px 20px; }
  .emulated { margin: 0 -12px; padding: 5px 12px; }
  .columns { grid-template-columns: minmax(0, 1fr); }
  .filter label, .filter input, .filter select { width: 100%; max-width: none; }
  .timing th { width: auto; }
  .timing td.bar { display: none; }
  .timing th:last-child { display: none; }
  .headers th { width: 40%; }
}
@media (prefers-reduced-motion: no-preference) {
  button, nav a { transition: color 120ms, border-color 120ms; }
}
`;
