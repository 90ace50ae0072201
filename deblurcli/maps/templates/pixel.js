"use strict";
// What the network chose at one pixel: its inverse kernel, what that does to frequencies, and the numbers behind it.
const element = (name, text = "", attributes = {}) => {
  const found = Object.assign(document.createElement(name), attributes);
  found.textContent = text;
  return found;
};

// ---- the kernel -----------------------------------------------------------------------------------------------------

// Signed values, their square roots as colours: beside the middle, kernels are faint.
const rooted = (extent) => (v) => clamp((1 + Math.sign(v) * Math.sqrt(Math.abs(v) / extent)) / 2, 0, 1);

function drawKernel(row, column) {
  // Copies of the photo make kernels of thousands of px: as much is drawn as those for a single copy reach.
  const parts = partsAt(row, column), reach = mixtureReach(1), whole = 2 * mixtureReach() + 1;
  const shown = kernelAt(row, column, reach, parts), side = 2 * reach + 1, middle = reach, near = Math.min(10, middle);
  shown[middle * side + middle] -= 1; // δ, the pixel itself, would outshine all the rest
  const extent = shown.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-6);
  heat($("kernel"), shown, side, "RdBu_r", rooted(extent));
  const close = [];
  for (let y = -near; y <= near; y++) for (let x = -near; x <= near; x++) close.push(shown[(middle + y) * side + middle + x]);
  heat($("middle"), close, 2 * near + 1, "RdBu_r", rooted(extent));
  $("kernel-note").textContent = `${side} × ${side} px${whole > side ? ` of at most ${whole} × ${whole}` : ""}, less δ, the pixel itself`;
  $("middle-note").textContent = `its middle, ${2 * near + 1} × ${2 * near + 1} px`;
  $("kernel-low").textContent = number(-extent);
  $("kernel-high").textContent = number(extent);
  heat($("kernel-bar"), Float32Array.from({ length: 256 }, (_, i) => i / 255), 256, "RdBu_r", (v) => v);

  const sizes = response(parts), grid = Math.sqrt(sizes.length), half = grid >> 1;
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
  const colours = maps.chroma ? " Brightness is changed by this kernel, colours take κ of it." : "";
  $("gain").textContent = `Largest gain × ${number(most)}; brightness × ${sumOf(parts).toFixed(3)}; white noise × ${number(Math.sqrt(energyOf(parts)))}. Colours of the response: 0 … ${top}.${colours}`;
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
  const halved = maps[$("overlay").value.split("/")[0]]?.halved ?? 0; // of the copy whose map is looked at
  const here = page.maps.filter((map) => map.halved === halved), i = row >> halved, j = column >> halved;
  const single = here.filter((map) => map.rows.length * map.columns.length === 1);
  $("sizes").replaceChildren(...single.map((map) => {
    const entry = element("div", "", { title: map.meaning });
    entry.append(element("dt", titled(map)), element("dd", valuesAt(map, i, j)[0].toFixed(2) + (map.unit === "1" ? "" : ` ${map.unit}`)));
    return entry;
  }));
  $("bars").replaceChildren(...here.filter((map) => !single.includes(map)).map((map) => barsOf(map, valuesAt(map, i, j))));
  const scale = Math.max(...here.map((map) => map.scale));
  if (scale > 1) $("bars").append(element("p", `Each number is the mean of a block of up to ${scale} × ${scale} px.`, { className: "note" }));
  if (page.mixture) drawKernel(row, column);
}

// ---- what is the same everywhere --------------------------------------------------------------------------------------

function drawDictionary() {
  for (const { title, kernels } of page.dictionary) {
    const grid = element("div", "", { className: "atoms" });
    kernels.forEach((rows, n) => {
      const figure = element("figure"), values = rows.flat(), extent = Math.max(...values.map(Math.abs), 1e-9);
      const space = document.createElement("canvas"), frequency = document.createElement("canvas");
      heat(space, values, rows.length, "RdBu_r", (v) => (1 + v / extent) / 2);
      const sizes = response([alone(values, rows.length)], 16), most = sizes.reduce((m, v) => Math.max(m, v), 1e-9);
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
  ...Object.fromEntries(page.maps.map((map) => [map.name, valuesAt(map, row >> map.halved, column >> map.halved)])),
  kernel: page.mixture ? Array.from(kernelAt(row, column)) : null,
});

(async () => {
  await loading;
  loaded = true;
  $("kernels").hidden = !page.mixture;
  drawDictionary();
  showPixel();
  document.body.dataset.ready = "yes";
})();
