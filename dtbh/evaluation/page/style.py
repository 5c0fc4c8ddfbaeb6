"""The look of the report page: one sheet of styles, for light and dark, for screens from 360 pixels and for paper.

One colour a direction, told apart with any colour vision (a test simulates three); all else is ink, so that right and
wrong, precision and recall differ by mark and dash, never by hue alone.
"""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --page: #fcfcfa; --card: #ffffff; --ink: #15191e; --soft: #59626b; --faint: #868f98; --line: #d9dddf;
  --grid: #e9ecec; --other: #c3c9ce; --note: #fbf3df; --edge: #d9a93a; --dim: 0;
  --one: #0a4c8c; --two: #b94700; --three: #0c8171; --four: #b52bb5; --five: #7a28e0;
  --six: #54380a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101316; --card: #171b1f; --ink: #e8ebee; --soft: #a4adb6; --faint: #7c8690; --line: #2d343b;
    --grid: #22282e; --other: #4d5761; --note: #231f14; --edge: #9b7726; --dim: 1;
    --one: #5aa2ea; --two: #ff9d5c; --three: #7be8c9; --four: #ec6aa8; --five: #f0e442;
    --six: #b08a68;
  }
}
*, *::before { box-sizing: border-box; }
html { scroll-padding-top: 64px; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 "Inter", "Segoe UI", Roboto,
  "Helvetica Neue", "Noto Sans", "Liberation Sans", system-ui, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1120px; margin: 0 auto; padding: 44px 28px 72px; }
h1 { font-size: 34px; line-height: 1.15; letter-spacing: -.02em; font-weight: 680; margin: 0 0 18px; text-wrap:
  balance; }
h1 span { color: var(--soft); font-weight: 400; }
h2 { font-size: 26px; line-height: 1.2; letter-spacing: -.015em; font-weight: 650; margin: 0 0 18px; }
h3 { font-size: 19px; letter-spacing: -.01em; font-weight: 650; margin: 52px 0 16px; padding-top: 14px; border-top:
  1px solid var(--line); }
h3 small { margin-left: 8px; font-weight: 400; letter-spacing: 0; }
h4 { font-size: 15px; font-weight: 650; margin: 0 0 8px; }
p { margin: 0 0 8px; }
small, .soft, figcaption, caption { color: var(--soft); }
small { font-size: 13px; }
figcaption, caption { font-size: 13.5px; line-height: 1.45; }
figure { margin: 0; min-width: 0; }
figcaption { margin-top: 6px; max-width: 62ch; }
a { color: inherit; }
:focus-visible { outline: 2px solid var(--own, var(--one)); outline-offset: 2px; }
.one { --own: var(--one); }
.two { --own: var(--two); }
.three { --own: var(--three); }
.four { --own: var(--four); }
.five { --own: var(--five); }
.six { --own: var(--six); }
.way { color: var(--own); font-weight: 650; }

.facts { display: flex; flex-wrap: wrap; gap: 6px 30px; margin: 0 0 28px; font-size: 14px; }
.facts dt { color: var(--soft); font-size: 13px; }
.facts dd { margin: 0; }
.cards { display: grid; gap: 18px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 250px), 1fr)); }
.card { display: block; text-decoration: none; background: var(--card); border: 1px solid var(--line); border-top:
  4px solid var(--own); border-radius: 4px 4px 10px 10px; padding: 16px 20px 14px; }
.card:hover { border-color: var(--own); }
.card > span { display: block; }
.card .soft { font-size: 13.5px; }
.number { font-size: 52px; line-height: 1.15; font-weight: 680; letter-spacing: -.03em; }
.number small { font-size: 16px; font-weight: 400; letter-spacing: 0; margin-left: 8px; }
.bar { display: block; position: relative; height: 8px; border-radius: 4px; background: var(--grid); }
.bar i { position: absolute; inset: 0 auto 0 0; border-radius: 4px; background: var(--own); }
.bar u { position: absolute; top: calc(50% - 1px); height: 2px; background: var(--ink); opacity: .8; }
.bar b { position: absolute; top: -3px; bottom: -3px; width: 2px; background: var(--ink); }
.card .bar { margin: 8px 0 10px; }

.leaks { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 14px 48px; margin: 22px 0 0;
  padding: 16px 20px; background: var(--note); border-left: 4px solid var(--edge); border-radius: 4px; --own:
  var(--edge); }
.leaks h2 { font-size: 16px; letter-spacing: 0; margin: 0 0 2px; }
.leaks p { font-size: 14.5px; color: var(--soft); }
.leaks ul { list-style: none; margin: 0; padding: 0; }
.leaks li { position: relative; padding: 0 0 6px 92px; }
.leaks .bar { position: absolute; left: 0; top: 8px; width: 76px; background: color-mix(in srgb, var(--ink) 12%,
  transparent); }
.leaks small { white-space: nowrap; }
.leaks table { font-size: 14px; align-self: center; }
.leaks th, .leaks td { border-color: color-mix(in srgb, var(--ink) 12%, transparent); padding-top: 3px;
  padding-bottom: 3px; }

nav { display: flex; flex-wrap: wrap; gap: 0 6px; margin: 40px 0 0; position: sticky; top: 0; z-index: 2;
  background: var(--page); border-bottom: 1px solid var(--line); }
nav a { padding: 13px 16px 11px; text-decoration: none; color: var(--soft); font-weight: 550; border-bottom: 3px
  solid transparent; margin-bottom: -1px; }
nav a:hover { color: var(--own); }
nav a[aria-selected="true"] { color: var(--own); border-color: var(--own); }
nav a:focus-visible { outline-offset: -3px; }
.panel { padding-top: 34px; }
.tabbed .panel > h2 { display: none; }
.panel[hidden] { display: none; }
.tabbed .panel { padding-top: 26px; }
.pairs > * { min-width: 0; }
.pairs { display: grid; gap: 36px 48px; align-items: start; grid-template-columns: repeat(2, minmax(0, 1fr)); }

table { border-collapse: collapse; width: 100%; font-size: 15px; }
caption { text-align: left; padding-bottom: 8px; }
th, td { text-align: right; padding: 6px 0 6px 12px; border-bottom: 1px solid var(--grid); vertical-align: baseline;
  font-weight: 400; }
thead th { color: var(--soft); font-size: 13.5px; border-color: var(--line); }
th:first-child { text-align: left; padding-left: 0; }
tbody tr:last-child > * { border-bottom: 0; }
td small { display: block; line-height: 1.25; }
.at { margin-bottom: 14px; }
.codes { margin-top: 8px; }
.codes th, .codes td { white-space: nowrap; }
figure + .scroll, figure + table { margin-top: 30px; }
.scroll + table { margin-top: 20px; }
.plain { --own: var(--faint); }
.means + .means { margin-top: 28px; }
.runs th { white-space: nowrap; }
.runs td:nth-child(n + 4) { min-width: 150px; padding-left: 24px; }
.runs .bar { height: 5px; margin-top: 4px; }
.classes td:last-child { width: 42%; padding-left: 18px; vertical-align: middle; }
.classes th, .classes td { padding-top: 4px; padding-bottom: 4px; }
.classes tbody td:nth-child(2) { color: var(--soft); }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--own); outline-offset: 2px; }
th[aria-sort="ascending"] button::after { content: " ↑"; }
th[aria-sort="descending"] button::after { content: " ↓"; }
th button::after { content: " ↕"; opacity: .55; }
th[aria-sort] button { color: var(--ink); }
.scroll { overflow-x: auto; }
.scroll svg { min-width: 500px; }
.confused { margin: 0; padding-left: 22px; font-size: 14.5px; }
.confused em { font-style: normal; font-weight: 550; }
figure + h4 { margin-top: 22px; }

svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 12.5px; fill: var(--soft); paint-order: stroke; stroke: var(--page); stroke-width: 3px;
  stroke-linejoin: round; }
.scroll svg text { stroke: none; }
svg .label { font-weight: 600; }
svg .label.ink { fill: var(--ink); }
svg .label.own { fill: var(--own); }
svg .label.faint { fill: var(--soft); font-weight: 500; }
.grid { stroke: var(--grid); }
.axis { stroke: var(--faint); }
.tick { stroke: var(--line); }
.line { fill: none; stroke-width: 2.25; stroke-linejoin: round; stroke-linecap: round; }
.thin { stroke-width: 1.5; }
.line.own, .dot.own { stroke: var(--own); }
.line.ink, .dot.ink { stroke: var(--ink); }
.line.faint { stroke: var(--faint); }
.line.other { stroke: var(--faint); }
.area { stroke: none; }
.area.own { fill: var(--own); fill-opacity: .32; }
.area.other { fill: var(--other); fill-opacity: .55; }
.dashed { stroke-dasharray: 6 5; }
.dotted { stroke-dasharray: 1 5; }
.dot { stroke-width: 1.4; }
.dot.own { fill: var(--own); }
.dot.ink { fill: var(--ink); }
.dot.hollow { fill: var(--page); }
.cell { fill: var(--own); }
.frame { fill: none; stroke: var(--line); }
svg text.onto { fill: var(--page); font-weight: 600; }

.conventions { list-style: none; margin: 4px 0 12px; padding: 0; font-size: 14.5px; line-height: 1.35; }
.conventions li { display: grid; grid-template-columns: 62px minmax(0, 1fr); gap: 4px 0; padding: 8px 0 0; }
.conventions .bar { grid-column: 2; height: 5px; opacity: .55; }
.conventions li:first-child .bar { opacity: 1; }
.conventions li:first-child b { color: var(--own); }
.conventions b { grid-row: 1 / 3; font-size: 17px; font-weight: 600; }

.query { display: grid; grid-template-columns: 168px minmax(0, 1fr); gap: 24px; padding: 16px 0; }
.query + .query { border-top: 1px solid var(--grid); }
.query p { margin: 0; font-size: 13.5px; line-height: 1.4; }
.query .name { font-weight: 600; margin-top: 7px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.query .said { color: var(--soft); font-style: italic; margin-top: 3px; overflow-wrap: anywhere; }
.hits { display: grid; gap: 16px 14px; grid-template-columns: repeat(6, minmax(0, 1fr)); list-style: none; margin:
  0; padding: 0; }
.query img { display: block; width: 100%; border-radius: 5px; }
.asked img:not(.spectrogram) { aspect-ratio: 1; }
.hits > li > img { aspect-ratio: 1; }
.right > img, .right > .sound { box-shadow: 0 4px 0 -1px var(--own); }
.wrong > img { opacity: .62; }
.mark { display: inline-block; min-width: 1em; font-weight: 750; }
.right .mark, .pair { color: var(--own); }
.wrong .name { font-weight: 450; }
.pair { font-weight: 600; }
.gone { color: var(--soft); border: 1px dashed var(--line); border-radius: 5px; padding: 8px; overflow-wrap:
  anywhere; }
.sound { position: relative; border-radius: 5px; background: color-mix(in srgb, var(--own) 9%, var(--card)); }
.sound audio { display: block; width: 100%; height: 34px; }
.query .spectrogram { height: 60px; border-radius: 0; filter: invert(var(--dim)); opacity: .85; pointer-events:
  none; }
.sound button { position: absolute; inset: 0; width: 100%; border: 1px solid transparent; border-radius: 5px;
  cursor: pointer; background: linear-gradient(90deg, color-mix(in srgb, var(--own) 26%, transparent) var(--played,
  0%), transparent 0); color: var(--own); font: inherit; text-align: left; padding: 0; }
.sound button:hover { border-color: var(--own); }
.sound button::before { content: "▶"; position: absolute; left: 6px; bottom: 5px; width: 24px; height: 24px;
  display: grid; place-items: center; border-radius: 50%; background: var(--card); font-size: 11px; padding-left:
  2px; line-height: 1; }
.sound button[aria-pressed="true"]::before { content: "■"; padding-left: 0; }

.definitions { margin-top: 64px; padding-top: 22px; border-top: 1px solid var(--line); }
.definitions h2 { font-size: 19px; }
.definitions dl { columns: 2; column-gap: 48px; margin: 0; font-size: 14.5px; }
.definitions dl div { break-inside: avoid; padding-bottom: 12px; }
.definitions dt { font-weight: 600; }
.definitions dd { margin: 0; color: var(--soft); }
footer { margin-top: 40px; font-size: 13px; color: var(--soft); }

@media (max-width: 760px) {
  svg text { font-size: 15.5px; }
  .scroll svg text { font-size: 12.5px; }
  .sound { align-self: start; }
  main { padding: 26px 16px 48px; }
  h1 { font-size: 27px; }
  .number { font-size: 44px; }
  h3 { margin-top: 40px; }
  .pairs, .leaks { grid-template-columns: minmax(0, 1fr); gap: 30px; }
  .leaks { padding: 14px 16px; gap: 14px; }
  .leaks small { white-space: normal; }
  .definitions dl { columns: 1; }
  nav { margin: 32px -16px 0; padding: 0 10px; flex-wrap: nowrap; overflow-x: auto; }
  nav a { padding: 12px 10px 10px; white-space: nowrap; }
  th, td { padding-left: 8px; }
  .sortable thead th { white-space: nowrap; font-size: 13px; }
  .classes td:last-child { width: 32%; padding-left: 12px; }
  .codes thead th { white-space: normal; line-height: 1.2; }
  h3 small { display: block; margin: 0; }
  table { font-size: 14px; }
  td small { font-size: 12px; }
  .query { grid-template-columns: minmax(0, 1fr); gap: 14px; }
  .asked { display: grid; grid-template-columns: 112px 1fr; gap: 0 14px; align-content: start; }
  .asked > :first-child { grid-row: 1 / 9; }
  .asked .name { margin-top: 0; }
  .hits.images { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .hits.sounds { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
@media print {
  nav, .sound audio { display: none; }
  .panel[hidden] { display: block; }
  .query, figure { break-inside: avoid; }
}
@media (prefers-reduced-motion: no-preference) {
  html { scroll-behavior: smooth; }
}
"""
