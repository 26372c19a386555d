// Lines over time, on uPlot: colours from the style sheet, a legend, zoom by dragging.
import { html, useEffect, useRef } from "./lib.js";
import uPlot from "./vendor/uplot.js";

let sheet = null;
function styled() {
  if (sheet) return;
  sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = new URL("./vendor/uplot.css", import.meta.url).href;
  document.head.append(sheet);
}

const TIMES = { second: "2-digit", minute: "2-digit", hour: "2-digit" };
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: TIMES.hour, minute: TIMES.minute });
const SECOND = new Intl.DateTimeFormat(undefined, TIMES);
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const MOMENT = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", ...TIMES });
// Words for the marks below a chart, which are so many seconds apart: a day says which it is where it begins.
function marks(_, all, __, ___, apart) {
  return all.map((at) => {
    const time = new Date(at * 1000);
    const begins = !time.getHours() && !time.getMinutes();
    return (apart >= 86_400 || begins ? DAY : apart < 60 ? SECOND : CLOCK).format(time);
  });
}

// A line of few points has to be seen where it has no neighbours.
const few = (self, series) => self.data[series].reduce((sum, value) => sum + (value !== null && value !== undefined), 0) < 30;

// series: [{label, values, format?, fill?, width?}], x: Unix seconds; `format` makes words of a value. onZoom(from, to) in Unix seconds.
export function Lines({ label, x, series, format = String, height = 200, onZoom, sync }) {
  const box = useRef(null);
  const plot = useRef(null);
  // What is drawn is what there is by then, also where the colours change long after the first drawing.
  const latest = useRef(null);
  latest.current = { x, series, onZoom };
  const shape = series.map((one) => one.label).join("\n");

  useEffect(() => {
    styled();
    const element = box.current;
    // A canvas knows no light-dark(): what the browser makes of it is read from an element.
    const probe = document.createElement("span");
    element.append(probe);
    const resolved = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const make = () => {
      plot.current?.destroy();
      const { x, series } = latest.current;
      const axis = { stroke: resolved("--muted"), grid: { stroke: resolved("--line"), width: 1 }, ticks: { stroke: resolved("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
      plot.current = new uPlot({
        width: element.clientWidth, height,
        cursor: { sync: sync ? { key: sync } : undefined, drag: { x: Boolean(onZoom), y: false, setScale: false } },
        scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.1] } },
        axes: [{ ...axis, values: marks, size: 34 }, { ...axis, size: 64, values: (_, all) => all.map(format) }],
        series: [{ label: "", value: (_, at) => (at ? MOMENT.format(at * 1000) : "") }, ...series.map((one, n) => {
          const stroke = resolved(`--series-${(n % 6) + 1}`);
          return { label: one.label, stroke, width: one.width ?? 1.75, spanGaps: false, points: { show: few, size: 4, fill: stroke }, fill: one.fill ? stroke.replace("rgb(", "rgba(").replace(")", ", .12)") : undefined, value: (_, value) => (value === null || value === undefined ? "–" : (one.format ?? format)(value)) };
        })],
        hooks: { setSelect: [(self) => { if (onZoom && self.select.width > 4) latest.current.onZoom(self.posToVal(self.select.left, "x"), self.posToVal(self.select.left + self.select.width, "x")); self.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false); }] },
      }, [x, ...series.map((one) => one.values)], element);
    };
    make();
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    resized.observe(element);
    addEventListener("theme", make);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", make);
    return () => { resized.disconnect(); removeEventListener("theme", make); dark.removeEventListener("change", make); plot.current?.destroy(); plot.current = null; probe.remove(); };
  }, [shape, height, Boolean(onZoom), sync]);

  useEffect(() => { plot.current?.setData([x, ...series.map((one) => one.values)]); }, [x, series]);

  return html`<div class="chart" ref=${box} role="img" aria-label=${label}></div>`;
}
