"""The style of the report: paper and ink like the pictures, one column on a phone."""

STYLE = """
:root { color-scheme: light;
  --paper: #f8f7f4; --ink: #292b30; --faint: #6d7076; --line: #dcd9d0; --made: #5483a4;
  --real: #a58f68; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1140px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .8rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .6rem; }
p { margin: .5rem 0; max-width: 46rem; }
.kicker { text-transform: uppercase; letter-spacing: .1em; font-size: .75rem; color: var(--faint);
  margin: 0; }
.verdict { border-left: 3px solid var(--made); padding: .2rem 0 .2rem .9rem; margin: 1rem 0; }
.warning { border-left: 3px solid #c4572e; background: #fbeee7; padding: .5rem .9rem; }
.small { font-size: .84rem; color: var(--faint); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 34rem; }
th, td { padding: .36rem 1.4rem .36rem 0; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--faint); font-size: .82rem; vertical-align: bottom; }
tbody th { font-weight: 600; }
tr.part th { font-weight: 400; color: var(--faint); padding-left: 1rem; }
td.best, td.yard { color: var(--faint); }
td small { font-size: .84em; color: var(--faint); }
tbody th, thead th:first-child { position: sticky; left: 0; background: var(--paper); }
.strip { display: grid; grid-template-columns: fit-content(14rem) 1fr; gap: 0 1rem;
  align-items: center; max-width: 46rem; margin: 0 0 1.4rem; padding-right: 1rem;
  font-size: .84rem; }
.strip span { overflow-wrap: anywhere; line-height: 1.2; }
.strip figcaption { grid-column: 1 / -1; color: var(--faint); margin-top: .3rem; }
.track, .axis { position: relative; height: 2.3rem; }
.track { border-bottom: 1px solid var(--line); }
.axis { height: 1.3rem; color: var(--faint); }
.strip i { position: absolute; font-style: normal; transform: translateX(-50%); }
.strip i.band, .strip i.bar { transform: none; }
.strip .band { top: 0; bottom: 0; background: #a58f6830; }
.strip .bar { top: 1.1rem; height: 3px; }
.strip .dot { top: calc(1.1rem - 4px); width: 11px; height: 11px; border-radius: 50%; }
.strip .dot.made, .strip .bar.made { background: var(--made); }
.strip .dot.real, .strip .bar.real { background: var(--real); }
.strip .half { top: .05rem; font-size: .74rem; color: var(--faint); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr));
  gap: 8px 28px; }
figure { margin: 0; min-width: 0; }
.chart svg { width: 100%; height: auto; display: block; }
.chart figcaption { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .84rem; }
.chart i { display: inline-block; width: 12px; height: 12px; margin-right: .4rem;
  border: 2px solid; vertical-align: -1px; }
.grid { stroke: var(--line); }
.tick { fill: var(--faint); font-size: 12px; }
path.made { fill: #5483a433; stroke: var(--made); stroke-width: 1.6; }
path.real { fill: #a58f6826; stroke: var(--real); stroke-width: 1.6; }
i.made { background: #5483a433; border-color: var(--made) !important; }
i.real { background: #a58f6826; border-color: var(--real) !important; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr));
  gap: 14px; }
.card { display: grid; grid-template-columns: repeat(3, 1fr); border: 1px solid var(--line);
  border-radius: 8px; padding: 6px; }
.card.n2 { grid-template-columns: repeat(2, 1fr); }
.card img { width: 100%; height: auto; display: block; }
.card figcaption { font-size: .74rem; line-height: 1.35; color: var(--faint); text-align: center;
  padding: 2px 2px 4px; overflow-wrap: anywhere; }
.card b { color: #c4572e; }
.card figure:first-child figcaption { color: var(--ink); }
pre { font-size: .75rem; overflow-x: auto; background: #fff; border: 1px solid var(--line);
  padding: 1rem; }
summary { cursor: pointer; }
@media (max-width: 520px) { main { padding: 18px 12px 40px; } h1 { font-size: 1.45rem; }
  th, td { padding-right: .9rem; font-size: .9rem; } td small { display: block; }
  .tick { font-size: 17px; } .strip { grid-template-columns: 5.4rem 1fr; } }
@media print { .card { break-inside: avoid; } details { display: none; } }
"""
