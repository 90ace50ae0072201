"use strict";
// Maps, and the kernels that they make: nothing here looks at the page but for its data. Nothing is ever fetched: all
// there is lies in the JSON of #data.
const page = JSON.parse(document.getElementById("data").textContent);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function bytes(base64) {
  const text = atob(base64), found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
  return found;
}

const HALF = Float32Array.from({ length: 65536 }, (_, code) => {
  const exponent = (code >> 10) & 31, fraction = code & 1023;
  const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
  return code >> 15 ? -size : size;
});

// float16, the high bytes of all numbers first, then the low ones; in gzip.
async function halves(text) {
  const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = raw.length / 2, values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = HALF[(raw[i] << 8) | raw[count + i]];
  return values;
}

const maps = {}, copies = []; // by name; of the photo and its copies at 1/2, 1/4 …, by what they are called in the photo
for (const map of page.maps) {
  maps[map.name] = map;
  (copies[map.halved] ??= {})[map.original] = map;
}
const loading = Promise.all(page.maps.map(async (map) => { map.values = await halves(map.data); delete map.data; }));

// Values of some planes, or of all, in the block that a pixel of the copy lies in; beyond the last they are the last one's.
function valuesAt(map, row, column, first = 0, count = map.rows.length * map.columns.length) {
  const i = Math.min(Math.floor(row / map.scale), map.height - 1), j = Math.min(Math.floor(column / map.scale), map.width - 1);
  return Array.from({ length: count }, (_, c) => map.values[((first + c) * map.height + i) * map.width + j]);
}

// ---- the kernel: the same sums as in deblurcli/maps/kernels.py, where they are explained ----------------------------

const levelCount = () => maps.omega.rows.length;
function mixtureReach(scales = copies.length) {
  const half = page.mixture.atoms.at(-1)[0].length >> 1, step = 2 ** (levelCount() - 1);
  return (half * step + Math.ceil(1.5 * (step - 1)) + 2) * 2 ** (scales - 1) - 2;
}

// Numbers by pixel, added up.
class Pixels extends Map {
  add(row, column, amount) {
    const key = row * 2 ** 26 + column, known = this.get(key);
    if (known) known.amount += amount;
    else this.set(key, { row, column, amount });
  }
}

function along(at, step, length) {
  const place = (at + 0.5) / step - 0.5, first = Math.floor(place), part = place - first;
  const last = Math.floor((length - 1) / step);
  return [[first, 1 - part], [first + 1, part]].filter(([, weight]) => weight).map(([q, weight]) => [clamp(q, 0, last), weight]);
}

// The pixels of a picture scaled down by `step` that bilinear interpolation takes, and their weights.
const between = (row, column, step, { height, width }) =>
  along(row, step, height).flatMap(([i, down]) => along(column, step, width).map(([j, right]) => [i, j, down * right]));

// What is done to the photo halved 0, 1, 2 … times: kernels that lie over its pixels from (top, left) on.
function partsAt(row, column) {
  const { atoms, weights } = page.mixture, sizes = atoms.length, count = atoms[0].length, side = atoms.at(-1)[0].length;
  const found = [[{ row, column, taps: null }]]; // by how often the photo is halved; no taps are δ, the pixel itself
  let wanted = new Pixels();
  wanted.add(row, column, 1);
  copies.forEach(({ mu, omega, coarse_trust: trust }, nth) => {
    const size = { height: Math.ceil(page.height / 2 ** nth), width: Math.ceil(page.width / 2 ** nth) };
    const coarser = new Pixels();
    if (nth + 1 < copies.length) {
      for (const { row, column, amount } of wanted.values())
        for (const [i, j, share] of between(row, column, 2, size))
          coarser.add(i, j, amount * share * (trust ? 1 - valuesAt(trust, 2 * i, 2 * j)[0] : 0.5));
      for (const { row, column, amount } of coarser.values())
        for (let k = 0; k < 4; k++) wanted.add(2 * row + (k >> 1), 2 * column + (k & 1), -amount / 4);
    }
    for (let level = 0; level < levelCount(); level++) {
      const shares = atoms.map(() => new Pixels()), step = 2 ** level;
      for (const { row, column, amount } of wanted.values()) {
        const used = valuesAt(mu, row, column, level * (1 + sizes) + 1, sizes);
        for (const [i, j, share] of between(row, column, step, size)) used.forEach((v, r) => shares[r].add(i, j, amount * share * v));
      }
      for (const [key, { row, column }] of shares[0]) {
        const strength = valuesAt(omega, row * step, column * step, level * count, count), taps = new Float64Array(side * side);
        atoms.forEach((ofSize, r) => {
          const k = ofSize[0].length, edge = (side - k) >> 1, share = shares[r].get(key).amount;
          ofSize.forEach((atom, n) => {
            const amount = share * weights[r][n] * strength[n];
            for (let a = 0; a < k; a++) for (let b = 0; b < k; b++) taps[(a + edge) * side + b + edge] += amount * atom[a][b];
          });
        });
        (found[nth + level] ??= []).push({ row, column, taps });
      }
    }
    wanted = coarser;
  });
  return found.map((places, halved) => {
    const half = side >> 1, rows = places.map((p) => p.row), columns = places.map((p) => p.column);
    const top = Math.min(...rows) - half, left = Math.min(...columns) - half;
    const height = Math.max(...rows) + half + 1 - top, width = Math.max(...columns) + half + 1 - left;
    const values = new Float64Array(height * width);
    for (const { row, column, taps } of places) {
      const corner = (row - half - top) * width + column - half - left;
      if (taps) taps.forEach((v, i) => { values[corner + Math.floor(i / side) * width + i % side] += v; });
      else values[corner + half * width + half]++;
    }
    return { halved, top, left, height, width, values };
  });
}

// A value of a part, at a pixel of the copy that it is for.
const tap = ({ top, left, height, width, values }, row, column) =>
  row >= top && row < top + height && column >= left && column < left + width ? values[(row - top) * width + column - left] : 0;

// All parts as one kernel (2 · reach + 1 a side) over the photo's pixels, each value spread evenly over what it covers.
function kernelAt(row, column, reach = mixtureReach(), parts = partsAt(row, column)) {
  const side = 2 * reach + 1, kernel = new Float64Array(side * side);
  for (const part of parts)
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++)
        kernel[y * side + x] += tap(part, (row - reach + y) >> part.halved, (column - reach + x) >> part.halved) / 4 ** part.halved;
  return kernel;
}

// Σ k and Σ k² of the whole kernel, however wide.
const sumOf = (parts) => parts.reduce((sum, part) => sum + part.values.reduce((total, v) => total + v, 0), 0);
function energyOf(parts) {
  let energy = 0;
  for (const one of parts)
    for (const other of parts.filter((p) => p.halved >= one.halved)) {
      const shift = other.halved - one.halved, times = (shift ? 2 : 1) / 4 ** other.halved;
      one.values.forEach((v, i) => {
        energy += times * v * tap(other, (one.top + Math.floor(i / one.width)) >> shift, (one.left + i % one.width) >> shift);
      });
    }
  return energy;
}

// A kernel as a part, for the photo itself.
const alone = (values, width) => ({ halved: 0, top: 0, left: 0, height: values.length / width, width, values });

// |K(f)| of the sum of parts on a square grid of 2 · half + 1 frequencies a side, −0.5 … 0.5 cycles/px, zero in the middle.
function response(parts, half = 32) {
  const grid = 2 * half + 1, real = new Float64Array(grid * grid), imaginary = new Float64Array(grid * grid);
  // What a value that is spread over `step` px does to a frequency, by row or column: e^(−2πif·middle) · the spread's own.
  const waves = (first, length, step, origin) => {
    const cosine = new Float64Array(grid * length), sine = new Float64Array(grid * length);
    for (let f = 0; f < grid; f++) {
      const w = Math.PI * (f - half) / half, size = step === 1 || f === half ? 1 : Math.sin(w * step / 2) / step / Math.sin(w / 2);
      for (let x = 0; x < length; x++) {
        const angle = w * ((first + x) * step + (step - 1) / 2 - origin);
        cosine[f * length + x] = size * Math.cos(angle);
        sine[f * length + x] = size * Math.sin(angle);
      }
    }
    return [cosine, sine];
  };
  for (const { halved, top, left, height, width, values } of parts) {
    const step = 2 ** halved;
    const [cosX, sinX] = waves(left, width, step, parts[0].left), [cosY, sinY] = waves(top, height, step, parts[0].top);
    const re = new Float64Array(grid * height), im = new Float64Array(grid * height); // of rows
    for (let f = 0; f < grid; f++)
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          re[f * height + y] += values[y * width + x] * cosX[f * width + x];
          im[f * height + y] -= values[y * width + x] * sinX[f * width + x];
        }
    for (let g = 0; g <= half; g++) // a real kernel's other half is the mirror image
      for (let f = 0; f < grid; f++)
        for (let y = 0; y < height; y++) {
          const c = cosY[g * height + y], s = sinY[g * height + y], a = re[f * height + y], b = im[f * height + y];
          real[g * grid + f] += a * c + b * s;
          imaginary[g * grid + f] += b * c - a * s;
        }
  }
  const sizes = new Float64Array(grid * grid);
  for (let g = 0; g <= half; g++)
    for (let f = 0; f < grid; f++)
      sizes[g * grid + f] = sizes[(grid - 1 - g) * grid + grid - 1 - f] = Math.hypot(real[g * grid + f], imaginary[g * grid + f]);
  return sizes;
}
