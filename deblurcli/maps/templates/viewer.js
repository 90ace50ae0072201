"use strict";
// The photo before and after, on one canvas, so that zoom and pan cannot get out of step.
const $ = (id) => document.getElementById(id);

// ---- maps -----------------------------------------------------------------------------------------------------------

const palettes = Object.fromEntries(Object.entries(page.colours).map(([name, text]) => [name, bytes(text)]));
const titled = ({ original, halved }) => original.replace("_", " ") + (halved ? `, photo at 1/${2 ** halved}` : "");
const label = (map, plane) => {
  const row = map.rows[Math.floor(plane / map.columns.length)], column = map.columns[plane % map.columns.length];
  return [row, column].filter(Boolean).join(" · ") || titled(map);
};

// Where a value lies between the ends of a map's colours, 0 … 1.
function position(map, value) {
  const bend = map.logarithmic ? Math.asinh : (v) => v;
  const [low, high] = map.colours.map(bend);
  return clamp((bend(value) - low) / (high - low), 0, 1);
}

// Numbers as colours, a pixel each: place(value) → 0 … 1.
function heat(canvas, values, width, palette, place) {
  canvas.width = width;
  canvas.height = values.length / width;
  const image = new ImageData(canvas.width, canvas.height);
  for (let i = 0; i < values.length; i++) {
    const at = 3 * Math.round(255 * place(values[i]));
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = palettes[palette][at + c];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// ---- the photo ------------------------------------------------------------------------------------------------------

const stage = $("photo"), ink = stage.getContext("2d"), layer = document.createElement("canvas");
const view = { scale: 1, x: page.width / 2, y: page.height / 2 }; // canvas px per photo px; the photo's pixel in the middle
const probe = { row: page.start[0], column: page.start[1], held: false };
const THUMB = 32; // px, of the divider's handle
const KEPT = 32; // decoded tiles of either photo; a phone has no memory for all of them
let overlay = null, queued = false, asItWas = false;

const photos = ["before", "after"].map((name) =>
  page.photos[name].map((level) => ({ ...level, columns: Math.ceil(page.width / level.scale / level.side), bitmaps: new Map() })));

function bitmap(level, number) {
  const known = level.bitmaps.get(number);
  if (known === undefined) {
    level.bitmaps.set(number, null); // on its way
    const blob = new Blob([bytes(level.tiles[number])], { type: "image/webp" });
    createImageBitmap(blob).then((image) => { level.bitmaps.set(number, image); redraw(); });
    const oldest = level.bitmaps.keys().next().value;
    if (level.bitmaps.size > KEPT) { level.bitmaps.get(oldest)?.close(); level.bitmaps.delete(oldest); }
  } else if (known) { level.bitmaps.delete(number); level.bitmaps.set(number, known); }
  return known;
}

// Tiles in sight, the coarse level first, so that there is always something to look at.
function drawPhoto(levels, left, right, ink = stage.getContext("2d")) {
  ink.save();
  ink.beginPath();
  ink.rect(left, 0, right - left, stage.height);
  ink.clip();
  ink.imageSmoothingEnabled = view.scale < 3; // from there on people want to see pixels
  ink.imageSmoothingQuality = "high";
  const x0 = view.x + (left - stage.width / 2) / view.scale, x1 = view.x + (right - stage.width / 2) / view.scale;
  const y0 = view.y - stage.height / 2 / view.scale, y1 = view.y + stage.height / 2 / view.scale;
  for (const [nth, level] of levels.entries()) {
    if (nth && view.scale * levels[nth - 1].scale <= 1) break; // the coarser one has all that can be shown
    const side = level.side * level.scale, rows = level.tiles.length / level.columns;
    for (let r = clamp(Math.floor(y0 / side), 0, rows); r < Math.min(rows, y1 / side); r++)
      for (let c = clamp(Math.floor(x0 / side), 0, level.columns); c < Math.min(level.columns, x1 / side); c++) {
        const image = bitmap(level, r * level.columns + c);
        if (!image) continue;
        const width = Math.min(image.width * level.scale, page.width - c * side);
        const height = Math.min(image.height * level.scale, page.height - r * side);
        ink.drawImage(image, 0, 0, width / level.scale, height / level.scale, ...toCanvas(c * side, r * side), width * view.scale, height * view.scale);
      }
  }
  ink.restore();
}

const toCanvas = (x, y) => [(x - view.x) * view.scale + stage.width / 2, (y - view.y) * view.scale + stage.height / 2];
const toPhoto = (x, y) => [(x - stage.width / 2) / view.scale + view.x, (y - stage.height / 2) / view.scale + view.y];

function draw() {
  queued = false;
  ink.clearRect(0, 0, stage.width, stage.height);
  const part = $("split").value / 1000, thumb = THUMB * devicePixelRatio;
  // Where the handle is; at its ends the whole stage is one of both.
  const divider = asItWas || part === 1 ? stage.width : part && Math.round(thumb / 2 + part * (stage.width - thumb));
  drawPhoto(photos[0], 0, stage.width);
  if (amount() === 1) drawPhoto(photos[1], divider, stage.width);
  else { // of a photo that is drawn twice, coarse and fine, only the whole can be blended
    Object.assign(layer, { width: stage.width, height: stage.height });
    drawPhoto(photos[1], divider, stage.width, layer.getContext("2d"));
    ink.globalAlpha = amount();
    ink.drawImage(layer, 0, 0);
    ink.globalAlpha = 1;
  }
  if (overlay && !asItWas) {
    ink.globalAlpha = $("opacity").value / 100;
    ink.imageSmoothingEnabled = overlay.scale > 1 || view.scale < 3;
    ink.drawImage(overlay.canvas, ...toCanvas(0, 0), overlay.canvas.width * overlay.scale * view.scale, overlay.canvas.height * overlay.scale * view.scale);
    ink.globalAlpha = 1;
  }
  ink.fillStyle = "#fff";
  if (!asItWas) ink.fillRect(divider - 1, 0, 2, stage.height);
  // The probe, and as a frame how far the kernel there reaches.
  const reach = page.mixture ? mixtureReach() : 0, dot = devicePixelRatio;
  const [x, y] = toCanvas(probe.column + 0.5, probe.row + 0.5), half = (reach + 0.5) * view.scale;
  for (const [colour, width] of [["#000a", 3], ["#fff", 1.3]]) {
    ink.strokeStyle = colour;
    ink.lineWidth = width * dot;
    if (reach) ink.strokeRect(x - half, y - half, 2 * half, 2 * half);
    ink.beginPath();
    ink.arc(x, y, Math.max(4 * dot, view.scale * 0.7), 0, 7);
    ink.stroke();
  }
  $("zoom").value = `${(view.scale / devicePixelRatio * 100).toPrecision(3) * 1} %`;
}

const amount = () => $("amount").value / 100;

function redraw() {
  if (!queued) { queued = true; requestAnimationFrame(draw); }
}

// ---- moving about ---------------------------------------------------------------------------------------------------

const fitting = () => Math.min(stage.width / page.width, stage.height / page.height);
function zoomTo(scale, x = stage.width / 2, y = stage.height / 2) {
  const [column, row] = toPhoto(x, y);
  view.scale = clamp(scale, Math.min(fitting(), 1) * 0.5, 64);
  view.x = clamp(column - (x - stage.width / 2) / view.scale, 0, page.width);
  view.y = clamp(row - (y - stage.height / 2) / view.scale, 0, page.height);
  redraw();
}

const zooms = {
  in: () => zoomTo(view.scale * 1.5),
  out: () => zoomTo(view.scale / 1.5),
  one: () => zoomTo(devicePixelRatio),
  start: () => {
    const whole = page.width * devicePixelRatio <= stage.width && page.height * devicePixelRatio <= stage.height;
    const [y, x] = whole ? [page.height / 2, page.width / 2] : page.start;
    Object.assign(view, { scale: devicePixelRatio, x, y });
    redraw();
  },
  fit: () => { Object.assign(view, { scale: fitting(), x: page.width / 2, y: page.height / 2 }); redraw(); },
};
for (const button of document.querySelectorAll("[data-zoom]")) button.onclick = zooms[button.dataset.zoom];

function pan(x, y) {
  view.x = clamp(view.x - x / view.scale, 0, page.width);
  view.y = clamp(view.y - y / view.scale, 0, page.height);
  redraw();
}

function moveProbe(column, row) {
  probe.row = clamp(Math.floor(row), 0, page.height - 1);
  probe.column = clamp(Math.floor(column), 0, page.width - 1);
  redraw();
  showPixel();
}

const fingers = new Map();
let travelled = 0;
const onCanvas = (event) => {
  const box = stage.getBoundingClientRect(), dot = stage.width / box.width;
  return [(event.clientX - box.left) * dot, (event.clientY - box.top) * dot];
};
stage.onpointerdown = (event) => {
  stage.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, onCanvas(event));
  travelled = fingers.size > 1 ? Infinity : 0;
};
stage.onpointermove = (event) => {
  const here = onCanvas(event), before = fingers.get(event.pointerId);
  if (!before) {
    if (!probe.held) moveProbe(...toPhoto(...here));
    return;
  }
  fingers.set(event.pointerId, here);
  const moved = [here[0] - before[0], here[1] - before[1]];
  travelled += Math.hypot(...moved);
  if (fingers.size === 1 && travelled > 5 * devicePixelRatio) pan(...moved);
  if (fingers.size === 2) {
    const other = [...fingers.entries()].find(([id]) => id !== event.pointerId)[1];
    const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
    pan(moved[0] / 2, moved[1] / 2);
    zoomTo(view.scale * spread(here) / spread(before), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
  }
};
stage.onpointerup = (event) => {
  if (travelled <= 5 * devicePixelRatio) {
    probe.held = event.pointerType === "mouse" && !probe.held;
    moveProbe(...toPhoto(...onCanvas(event)));
  }
  fingers.delete(event.pointerId);
};
stage.onpointercancel = (event) => fingers.delete(event.pointerId);
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomTo(view.scale * Math.exp(-clamp(event.deltaY, -200, 200) / 300), ...onCanvas(event));
}, { passive: false });

stage.onkeydown = (event) => {
  const far = event.shiftKey ? 10 : 1;
  const step = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key];
  const slide = { "[": -20, "]": 20 }[event.key];
  if (event.key === "b" || event.key === "B") return hold(true);
  const zoom = { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "one" }[event.key];
  if (step) {
    probe.held = true;
    moveProbe(probe.column + step[0], probe.row + step[1]);
  } else if (slide) {
    $("split").value = +$("split").value + slide;
    redraw();
  } else if (zoom) zooms[zoom]();
  else return;
  event.preventDefault();
};
stage.onkeyup = (event) => { if (event.key === "b" || event.key === "B") hold(false); };
$("split").oninput = $("opacity").oninput = redraw;

// ---- less of it, none of it, and a file -----------------------------------------------------------------------------

function hold(down) {
  if (asItWas !== down) { asItWas = down; redraw(); }
}
$("hold").onpointerdown = () => hold(true);
$("hold").onkeydown = (event) => { if (event.key === " " || event.key === "Enter") hold(true); };
for (const end of ["pointerup", "pointercancel", "pointerleave", "keyup", "blur"]) $("hold").addEventListener(end, () => hold(false));
stage.onblur = () => hold(false);

$("amount").oninput = () => {
  $("amount-shown").value = `${$("amount").value} %`;
  $("saved").textContent = "";
  redraw();
};

// The whole photo with as much of the change as is shown.
async function result() {
  const canvas = Object.assign(document.createElement("canvas"), { width: page.width, height: page.height });
  const paper = canvas.getContext("2d");
  for (const [name, strength] of [["before", 1], ["after", amount()]]) {
    const level = page.photos[name].at(-1), columns = Math.ceil(page.width / level.scale / level.side);
    paper.globalAlpha = strength;
    for (const [number, tile] of level.tiles.entries()) {
      const image = await createImageBitmap(new Blob([bytes(tile)], { type: "image/webp" }));
      paper.drawImage(image, (number % columns) * level.side, Math.floor(number / columns) * level.side);
      image.close();
    }
  }
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

$("save").onclick = async () => {
  $("save").disabled = true;
  const file = await result();
  $("save").disabled = false;
  if (!file) { // browsers have a largest canvas
    $("saved").textContent = "This browser cannot hold the whole photo: use the command below.";
    return;
  }
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file) });
  link.download = `${page.name}-deblurred-${$("amount").value}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  $("saved").textContent = `Saved from this page, which holds a compressed copy. With full quality and all metadata: deblur ${page.file} --amount ${amount()}`;
};

// ---- overlays -------------------------------------------------------------------------------------------------------

// What a photographer asks for first, then the other maps of one plane, then those of many, each a group.
const planesOf = (map) => map.rows.length * map.columns.length;
const rank = (map) => (map.name === "blur_radius" ? 0 : planesOf(map) === 1 ? 1 : 2);
for (const map of [...page.maps].sort((one, other) => rank(one) - rank(other))) {
  if (planesOf(map) === 1) {
    $("overlay").append(new Option(titled(map), `${map.name}/0`));
    continue;
  }
  const group = document.createElement("optgroup");
  group.label = `${map.symbol}  ${titled(map)}`;
  for (let c = 0; c < planesOf(map); c++) group.append(new Option(`${map.symbol} ${label(map, c)}`, `${map.name}/${c}`));
  $("overlay").append(group);
}

const number = (value) => {
  const size = Math.abs(value), digits = size < 0.005 ? 0 : size < 1 ? 2 : size < 100 ? 1 : 0;
  return size && size < 0.005 ? value.toExponential(0) : value.toFixed(digits).replace("-", "−");
};

function showOverlay() {
  const [name, plane] = $("overlay").value.split("/"), map = maps[name];
  $("legend").hidden = !map;
  overlay = null;
  if (map) {
    const size = map.width * map.height, values = map.values.subarray(plane * size, (+plane + 1) * size);
    overlay = { canvas: document.createElement("canvas"), scale: map.scale * 2 ** map.halved };
    heat(overlay.canvas, values, map.width, map.palette, (v) => position(map, v));
    $("meaning").textContent = map.meaning;
    heat($("bar"), Float32Array.from({ length: 256 }, (_, i) => i / 255), 256, map.palette, (v) => v);
    const [low, high] = map.colours, open = [map.range[0] === null ? "≤ " : "", map.range[1] === null ? "≥ " : ""];
    const bend = map.logarithmic ? [Math.asinh, Math.sinh] : [(v) => v, (v) => v];
    $("ticks").replaceChildren(...[0, 0.25, 0.5, 0.75, 1].map((part) => {
      const tick = document.createElement("span"), from = bend[0](low);
      tick.style.left = `${100 * part}%`;
      tick.textContent = (part === 0 ? open[0] : part === 1 ? open[1] : "") + number(bend[1](from + part * (bend[0](high) - from)));
      if (map.unit !== "1") tick.textContent += ` ${map.unit}`;
      return tick;
    }));
  }
  redraw();
  showPixel();
}
$("overlay").onchange = showOverlay;

// ---- size --------------------------------------------------------------------------------------------------------------

new ResizeObserver(() => {
  const begun = stage.dataset.ready, whole = begun && Math.abs(view.scale - fitting()) < 1e-6;
  stage.width = Math.round(stage.clientWidth * devicePixelRatio);
  stage.height = Math.round(stage.clientHeight * devicePixelRatio);
  stage.dataset.ready = "yes";
  if (!begun) zooms.start();
  if (whole) zooms.fit();
  redraw();
}).observe(stage);
