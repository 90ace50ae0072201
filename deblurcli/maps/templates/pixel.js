"use strict";
// What the network chose at one pixel: its inverse kernel, what that does to frequencies, and the numbers behind it.
const element = (name, text = "", attributes = {}) => {
  const found = Object.assign(document.createElement(name), attributes);
  found.textContent = text;
  return found;
};

// ---- the kernel: the same sums as in deblurcli/maps/kernels.py, where they are explained -------------------------------

const levelCount = () => maps.omega.rows.length;
function mixtureReach() {
  const half = page.mixture.atoms.at(-1)[0].length >> 1, step = 2 ** (levelCount() - 1);
  return half * step + Math.ceil(1.5 * (step - 1));
}

// The pixels of a picture scaled down by `step` that bilinear interpolation takes for pixel `at`, and their weights.
function between(at, step, length) {
  const place = (at + 0.5) / step - 0.5, first = Math.floor(place), part = place - first;
  const last = Math.floor((length - 1) / step);
  return [[first, 1 - part], [first + 1, part]].filter(([, weight]) => weight).map(([q, weight]) => [clamp(q, 0, last), weight]);
}

function kernelAt(row, column) {
  const { atoms, weights } = page.mixture, omega = maps.omega;
  const count = atoms[0].length, largest = atoms.at(-1)[0].length, half = largest >> 1;
  const reach = mixtureReach(), side = 2 * reach + 1, kernel = new Float64Array(side * side);
  const mu = valuesAt(maps.mu, row, column);
  kernel[reach * side + reach] = 1;
  for (let level = 0; level < levelCount(); level++) {
    const step = 2 ** level;
    for (const [i, down] of between(row, step, omega.height * omega.scale))
      for (const [j, right] of between(column, step, omega.width * omega.scale)) {
        const strength = valuesAt(omega, i * step, j * step);
        const taps = new Float64Array(largest * largest);
        atoms.forEach((ofSize, r) => {
          const k = ofSize[0].length, edge = half - (k >> 1), share = mu[level * (atoms.length + 1) + r + 1];
          ofSize.forEach((atom, n) => {
            const amount = share * weights[r][n] * strength[level * count + n];
            for (let a = 0; a < k; a++) for (let b = 0; b < k; b++) taps[(a + edge) * largest + b + edge] += amount * atom[a][b];
          });
        });
        const top = (i - half) * step - row + reach, left = (j - half) * step - column + reach, part = down * right / step ** 2;
        for (let a = 0; a < largest * step; a++)
          for (let b = 0; b < largest * step; b++)
            kernel[(top + a) * side + left + b] += part * taps[Math.floor(a / step) * largest + Math.floor(b / step)];
      }
  }
  return kernel;
}

// |K(f)| on a square grid of 2 · half + 1 frequencies a side, −0.5 … 0.5 cycles/px, zero in the middle.
function response(kernel, half = 32) {
  const side = Math.sqrt(kernel.length), middle = side >> 1, grid = 2 * half + 1;
  const cosine = [], sine = [];
  for (let f = 0; f < grid; f++)
    for (let x = 0; x < side; x++) {
      const angle = Math.PI * (f - half) / half * (x - middle);
      cosine.push(Math.cos(angle));
      sine.push(Math.sin(angle));
    }
  const real = new Float64Array(side * grid), imaginary = new Float64Array(side * grid);
  for (let y = 0; y < side; y++)
    for (let f = 0; f < grid; f++)
      for (let x = 0; x < side; x++) {
        real[y * grid + f] += kernel[y * side + x] * cosine[f * side + x];
        imaginary[y * grid + f] -= kernel[y * side + x] * sine[f * side + x];
      }
  const size = new Float64Array(grid * grid);
  for (let g = 0; g <= half; g++) // a real kernel's other half is the mirror image
    for (let f = 0; f < grid; f++) {
      let re = 0, im = 0;
      for (let y = 0; y < side; y++) {
        const c = cosine[g * side + y], s = sine[g * side + y], at = y * grid + f;
        re += real[at] * c + imaginary[at] * s;
        im += imaginary[at] * c - real[at] * s;
      }
      size[g * grid + f] = size[(grid - 1 - g) * grid + grid - 1 - f] = Math.hypot(re, im);
    }
  return size;
}

// Signed values, their square roots as colours: beside the middle, kernels are faint.
const rooted = (extent) => (v) => clamp((1 + Math.sign(v) * Math.sqrt(Math.abs(v) / extent)) / 2, 0, 1);

function drawKernel(kernel) {
  const side = Math.sqrt(kernel.length), middle = side >> 1, near = Math.min(10, middle);
  const shown = kernel.slice();
  shown[middle * side + middle] -= 1; // δ, the pixel itself, would outshine all the rest
  const extent = shown.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-6);
  heat($("kernel"), shown, side, "RdBu_r", rooted(extent));
  const close = [];
  for (let y = -near; y <= near; y++) for (let x = -near; x <= near; x++) close.push(shown[(middle + y) * side + middle + x]);
  heat($("middle"), close, 2 * near + 1, "RdBu_r", rooted(extent));
  $("kernel-note").textContent = `${side} × ${side} px, less δ, the pixel itself`;
  $("middle-note").textContent = `its middle, ${2 * near + 1} × ${2 * near + 1} px`;
  $("kernel-low").textContent = number(-extent);
  $("kernel-high").textContent = number(extent);
  heat($("kernel-bar"), Float32Array.from({ length: 256 }, (_, i) => i / 255), 256, "RdBu_r", (v) => v);

  const sizes = response(kernel), grid = Math.sqrt(sizes.length), half = grid >> 1;
  const across = Array.from({ length: half + 1 }, (_, f) => sizes[half * grid + half + f]);
  const down = Array.from({ length: half + 1 }, (_, f) => sizes[(half + f) * grid + half]);
  const most = sizes.reduce((m, v) => Math.max(m, v), 0), top = [2, 4, 8, 16, 32].find((t) => t >= most) ?? most;
  heat($("response"), sizes, grid, "viridis", (v) => clamp(v / top, 0, 1));
  const path = (gains) => "M" + gains.map((g, f) => `${24 + 170 * f / half} ${130 - 120 * g / top}`).join("L");
  const lines = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const y = 130 - 120 * part;
    return `<line class="grid" x1="24" x2="194" y1="${y}" y2="${y}"/><text x="20" y="${y + 3}" text-anchor="end">${part * top}</text>`;
  });
  const ticks = [0, 0.1, 0.2, 0.3, 0.4, 0.5].map((f) => `<text x="${24 + 340 * f}" y="143" text-anchor="middle">${f}</text>`);
  $("curve").innerHTML = `${lines.join("")}${ticks.join("")}<path class="down" d="${path(down)}"/><path class="across" d="${path(across)}"/>`;
  const sum = kernel.reduce((total, v) => total + v, 0);
  const noise = Math.sqrt(kernel.reduce((total, v) => total + v * v, 0));
  $("gain").textContent = `Largest gain × ${number(most)}; brightness × ${sum.toFixed(3)}; white noise × ${number(noise)}. Colours of the response: 0 … ${top}.`;
}

// ---- bars -----------------------------------------------------------------------------------------------------------

function barsOf(map, values) {
  const block = document.createElement("div"), across = map.columns.length;
  block.append(element("h3", `${map.symbol}: ${map.meaning}`));
  const table = element("div", "", { className: "bars" });
  const named = map.rows.some(Boolean);
  table.style.gridTemplateColumns = named ? "max-content 1fr" : "1fr";
  const short = (name) => name.replace(/^\D+ (\d+)$/, "$1"); // "atom 3" → 3
  const heads = element("div", "", { className: "heads" });
  if (across <= 24) heads.append(...map.columns.map((name) => element("span", short(name))));
  if (named) table.append(element("span"));
  table.append(heads);
  const zero = 100 * (1 - position(map, 0));
  map.rows.forEach((row, r) => {
    if (named) table.append(element("span", row, { className: "name" }));
    const bars = map.columns.map((name, c) => {
      const value = values[r * across + c], tip = 100 * (1 - position(map, value)), width = 100 / across;
      return `<rect class="${value < 0 ? "minus" : ""}" x="${(c + 0.14) * width}" width="${0.72 * width}" y="${Math.min(tip, zero)}" ` +
        `height="${Math.max(Math.abs(tip - zero), 0.8)}"><title>${map.symbol} ${label(map, r * across + c)}: ${value.toPrecision(4)}</title></rect>`;
    });
    const holder = document.createElement("div");
    holder.innerHTML = `<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="${map.symbol} ${row}: ` +
      `${map.columns.map((name, c) => `${name} ${values[r * across + c].toPrecision(3)}`).join(", ")}">` +
      `<line class="zero" vector-effect="non-scaling-stroke" x1="0" x2="100" y1="${zero}" y2="${zero}"/>${bars.join("")}</svg>`;
    if (across <= 6) { // there is room for the figures
      const figures = element("div", "", { className: "heads" });
      figures.append(...map.columns.map((name, c) => element("span", number(values[r * across + c]))));
      holder.append(figures);
    }
    table.append(holder);
  });
  block.append(table);
  return block;
}

let pending = false, loaded = false;
function showPixel() {
  if (!pending && loaded) { pending = true; requestAnimationFrame(drawPixel); }
}

function drawPixel() {
  pending = false;
  const { row, column } = probe;
  $("place").textContent = `${column}, ${row}`;
  $("held").textContent = probe.held ? "held" : "";
  const single = page.maps.filter((map) => map.rows.length * map.columns.length === 1);
  $("sizes").replaceChildren(...single.map((map) => {
    const entry = element("div", "", { title: map.meaning });
    entry.append(element("dt", map.name.replace("_", " ")), element("dd", valuesAt(map, row, column)[0].toFixed(2) + (map.unit === "1" ? "" : ` ${map.unit}`)));
    return entry;
  }));
  $("bars").replaceChildren(...page.maps.filter((map) => !single.includes(map)).map((map) => barsOf(map, valuesAt(map, row, column))));
  const scale = Math.max(...page.maps.map((map) => map.scale));
  if (scale > 1) $("bars").append(element("p", `Each number is the mean of a block of up to ${scale} × ${scale} px.`, { className: "note" }));
  if (page.mixture) drawKernel(kernelAt(row, column));
}

// ---- what is the same everywhere --------------------------------------------------------------------------------------

function drawDictionary() {
  for (const { title, kernels } of page.dictionary) {
    const grid = element("div", "", { className: "atoms" });
    kernels.forEach((rows, n) => {
      const figure = element("figure"), values = rows.flat(), extent = Math.max(...values.map(Math.abs), 1e-9);
      const space = document.createElement("canvas"), frequency = document.createElement("canvas");
      heat(space, values, rows.length, "RdBu_r", (v) => (1 + v / extent) / 2);
      const sizes = response(Float64Array.from(values), 16), most = sizes.reduce((m, v) => Math.max(m, v), 1e-9);
      heat(frequency, sizes, 33, "viridis", (v) => v / most);
      figure.append(space, frequency, element("figcaption", `${n + 1}`));
      grid.append(figure);
    });
    $("atoms").append(element("h3", title), grid);
  }
  $("dictionary").hidden = !page.dictionary.length;
  $("whole").replaceChildren(...page.constants.map((map) => barsOf(map, map.values)));
  $("constants").hidden = !page.constants.length;
}

// For scripts: what is shown at a pixel, by map, and the kernel, row by row.
window.inspect = (row, column) => ({
  ...Object.fromEntries(page.maps.map((map) => [map.name, valuesAt(map, row, column)])),
  kernel: page.mixture ? Array.from(kernelAt(row, column)) : null,
});

(async () => {
  await Promise.all(page.maps.map(async (map) => { map.values = await halves(map.data); delete map.data; }));
  loaded = true;
  $("kernels").hidden = !page.mixture;
  drawDictionary();
  showPixel();
  document.body.dataset.ready = "yes";
})();
