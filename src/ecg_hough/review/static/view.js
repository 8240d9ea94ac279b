// Two pictures that move together: the page with its traces, and the calibrated leads on ECG paper.
//
// Places on the page are [row, column] in px of the picture as given. Places on the paper are [down, along] in
// mm at 25 mm/s and 10 mm/mV. An affine map, fitted to the panels' zero lines, joins the two.

import { floats, steps } from "./api.js";

export const COLOURS = {
  I: "#d62728", II: "#1f77b4", III: "#2ca02c", aVR: "#9467bd", aVL: "#e06c00", aVF: "#12899b",
  V1: "#d0329a", V2: "#784f3c", V3: "#5a8214", V4: "#143cc8", V5: "#aa145a", V6: "#00826b",
};
const MM_S = 25;
const MM_MV = 10;
const MISSING = -32768;
const ROWS_MM = [12, 40]; // least and greatest distance of rows on the paper
const APART_MM = 5; // between columns that show the same seconds
const BAND = 2; // expected errors
const ZOOM = [0.02, 40];
const ROOM_PX = 150; // of a panel, from which its status is written beside its name
const GREY = "#6b7780";

/** [a, b, c; d, e, f] with [y, x, 1] of `from` mapped to `to`, by least squares. */
function fitAffine(from, to) {
  const n = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
  const right = [[0, 0, 0], [0, 0, 0]];
  from.forEach(([y, x], k) => {
    const v = [y, x, 1];
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 3; j++) n[i][j] += v[i] * v[j];
      right[0][i] += v[i] * to[k][0];
      right[1][i] += v[i] * to[k][1];
    }
  });
  return right.map((r) => solve3(n, r));
}

function solve3(matrix, right) {
  const m = matrix.map((row, k) => [...row, right[k]]);
  for (let i = 0; i < 3; i++) {
    let best = i;
    for (let k = i + 1; k < 3; k++) if (Math.abs(m[k][i]) > Math.abs(m[best][i])) best = k;
    [m[i], m[best]] = [m[best], m[i]];
    for (let k = 0; k < 3; k++) {
      if (k === i) continue;
      const f = m[k][i] / m[i][i];
      for (let j = i; j < 4; j++) m[k][j] -= f * m[i][j];
    }
  }
  return [m[0][3] / m[0][0], m[1][3] / m[1][1], m[2][3] / m[2][2]];
}

const applied = ([r, c], [y, x]) => [r[0] * y + r[1] * x + r[2], c[0] * y + c[1] * x + c[2]];

function inverse([[a, b, p], [c, d, q]]) {
  const det = a * d - b * c;
  return [[d / det, -b / det, (b * q - d * p) / det], [-c / det, a / det, (c * p - a * q) / det]];
}

/** Polyline of points [row, column] in turn, from `first` to before `stop`, broken where they are NaN. */
function pathOf(points, first, stop) {
  const path = new Path2D();
  let down = false;
  for (let k = first; k < stop; k++) {
    const r = points[2 * k];
    if (Number.isNaN(r)) down = false;
    else if (down) path.lineTo(points[2 * k + 1], r);
    else { path.moveTo(points[2 * k + 1], r); down = true; }
  }
  return path;
}

export class View {
  constructor(page, paper) {
    this.page = page;
    this.paper = paper;
    this.levels = [];
    this.at = { row: 0, col: 0, scale: 0 };
    this.state = null;
    this.lead = null; // under the pointer or chosen
    this.hover = null; // {panel, time} under the pointer
    this.marks = {}; // what a tool shows: stroke, span, cross, frame, edge, zero, shift
    this.waiting = false;
    new ResizeObserver(() => this.resized()).observe(page);
    new ResizeObserver(() => this.resized()).observe(paper);
  }

  /** The page's picture; smaller copies are made for smaller scales. */
  async setPicture(blob) {
    const whole = await createImageBitmap(blob);
    const levels = [whole];
    for (let side = 2; Math.max(whole.height, whole.width) / side > 700; side *= 2) {
      const resizeWidth = Math.round(whole.width / side);
      const resizeHeight = Math.round(whole.height / side);
      levels.push(await createImageBitmap(levels.at(-1), { resizeWidth, resizeHeight, resizeQuality: "medium" }));
    }
    this.levels = levels;
    this.size = [whole.height, whole.width];
    this.fit();
  }

  setState(state) {
    this.state = state;
    this.rows = new Map((state.rows || []).map((row) => [row.row, floats(row.points)]));
    this.leads = new Map((state.leads || []).map((lead) => [lead.lead, lead]));
    this.panels = (state.panels || []).map((panel) => ({ ...panel, points: this.rows.get(panel.row) }));
    for (const panel of this.panels) panel.path = pathOf(panel.points, panel.first, panel.stop);
    this.rowPaths = new Map([...this.rows].map(([row, points]) => [row, pathOf(points, 0, points.length / 2)]));
    this.layPaper();
    this.draw();
  }

  /** Places of panels on the paper, and the map from the page. */
  layPaper() {
    const { panels, state } = this;
    if (!panels.length) { this.toPaper = null; return; }
    const [down] = state.mm_px;
    const px = Math.hypot(...down);
    const levels = [...new Set(panels.map((p) => p.row))].sort((a, b) => a - b);
    const level = (row) => panels.filter((p) => p.row === row).map((p) => (p.zero[0][0] * down[0] + p.zero[0][1] * down[1]) / px)[0];
    const pitches = levels.slice(1).map((row, k) => (level(row) - level(levels[k])) / px).sort((a, b) => a - b);
    const pitch = Math.min(ROWS_MM[1], Math.max(ROWS_MM[0], pitches[Math.floor(pitches.length / 2)] || 25));
    const widest = Math.max(...panels.filter((p) => !p.rhythm).map((p) => p.end_s - p.start_s), 0) * MM_S + APART_MM;
    const from = [];
    const to = [];
    for (const panel of panels) {
      panel.y = (levels.indexOf(panel.row) + 1) * pitch;
      const aside = state.columns === "simultaneous" && !panel.rhythm;
      panel.x = aside ? panel.column * widest : panel.start_s * MM_S;
      panel.width = (panel.end_s - panel.start_s) * MM_S;
      panel.zero.forEach(([r, c], k) => {
        from.push([r, c], [r + 10 * down[0], c + 10 * down[1]]);
        to.push([panel.y, panel.x + k * panel.width], [panel.y + 10, panel.x + k * panel.width]);
      });
      this.traceOnPaper(panel);
    }
    this.paperSize = [(levels.length + 1) * pitch, Math.max(...panels.map((p) => p.x + p.width))];
    this.toPaper = fitAffine(from, to);
    this.toPage = inverse(this.toPaper);
    const [[a, b], [c, d]] = this.toPaper;
    this.mmPerPx = Math.sqrt(Math.abs(a * d - b * c));
  }

  traceOnPaper(panel) {
    const lead = this.leads.get(panel.lead);
    panel.curve = new Path2D();
    panel.band = new Path2D();
    if (!lead) return;
    lead.samples ??= steps(lead.signal);
    lead.errors ??= steps(lead.sd);
    const fs = this.state.fs;
    const first = Math.max(0, Math.ceil(panel.start_s * fs - 1e-6));
    const stop = Math.min(lead.samples.length, Math.ceil(panel.end_s * fs - 1e-6));
    const mm = (MM_MV * lead.uv) / 1000;
    const x = (n) => panel.x + (n / fs - panel.start_s) * MM_S;
    for (let n = first; n < stop; n++) {
      if (lead.samples[n] === MISSING) continue;
      let end = n;
      while (end < stop && lead.samples[end] !== MISSING) end++;
      panel.curve.moveTo(x(n), panel.y - lead.samples[n] * mm);
      for (let k = n + 1; k < end; k++) panel.curve.lineTo(x(k), panel.y - lead.samples[k] * mm);
      const error = (k) => (BAND * MM_MV * lead.errors[k]) / 1000;
      panel.band.moveTo(x(n), panel.y - lead.samples[n] * mm - error(n));
      for (let k = n + 2; k < end; k += 2) panel.band.lineTo(x(k), panel.y - lead.samples[k] * mm - error(k));
      for (let k = end - 1; k >= n; k -= 2) panel.band.lineTo(x(k), panel.y - lead.samples[k] * mm + error(k));
      panel.band.closePath();
      n = end;
    }
  }

  resized() {
    for (const canvas of [this.page, this.paper]) {
      const ratio = devicePixelRatio;
      canvas.width = Math.round(canvas.clientWidth * ratio);
      canvas.height = Math.round(canvas.clientHeight * ratio);
    }
    if (this.fitted) this.fit();
    this.draw();
  }

  fit() {
    if (!this.size || !this.page.clientWidth) return;
    const [height, width] = this.size;
    const scale = 0.98 * Math.min(this.page.clientWidth / width, this.page.clientHeight / height);
    this.at = { row: height / 2, col: width / 2, scale };
    this.fitted = true;
    this.draw();
  }

  zoom(factor, canvas = this.page, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const before = this.placeOf(canvas, x, y);
    this.at.scale = Math.min(ZOOM[1], Math.max(ZOOM[0], this.at.scale * factor));
    const after = this.placeOf(canvas, x, y);
    this.at.row += before[0] - after[0];
    this.at.col += before[1] - after[1];
    this.fitted = false;
    this.draw();
  }

  pan(dx, dy, canvas = this.page) {
    const a = this.placeOf(canvas, 0, 0);
    const b = this.placeOf(canvas, dx, dy);
    this.at.row -= b[0] - a[0];
    this.at.col -= b[1] - a[1];
    this.fitted = false;
    this.draw();
  }

  /** Shows some panels, large. */
  show(panels) {
    if (!panels.length) { this.fit(); return; }
    const ends = panels.flatMap((panel) => panel.zero);
    const rows = ends.map((end) => end[0]);
    const cols = ends.map((end) => end[1]);
    const wide = Math.max(...cols) - Math.min(...cols) + 40 / this.mmPerPx;
    const tall = Math.max(...rows) - Math.min(...rows) + 50 / this.mmPerPx;
    this.at = {
      row: (Math.max(...rows) + Math.min(...rows)) / 2,
      col: (Math.max(...cols) + Math.min(...cols)) / 2,
      scale: Math.min(this.page.clientWidth / wide, this.page.clientHeight / tall),
    };
    this.fitted = false;
    this.draw();
  }

  /** Place on the page under a place of a canvas, CSS px. */
  placeOf(canvas, x, y) {
    const { row, col, scale } = this.at;
    if (canvas === this.page || !this.toPaper) {
      return [row + (y - canvas.clientHeight / 2) / scale, col + (x - canvas.clientWidth / 2) / scale];
    }
    return applied(this.toPage, this.paperPlace(x, y));
  }

  paperPlace(x, y) {
    const [down, along] = applied(this.toPaper, [this.at.row, this.at.col]);
    const scale = this.at.scale / this.mmPerPx;
    return [down + (y - this.paper.clientHeight / 2) / scale, along + (x - this.paper.clientWidth / 2) / scale];
  }

  /** CSS px of a place of the page on its canvas. */
  onCanvas([row, col]) {
    const { at, page } = this;
    return [(col - at.col) * at.scale + page.clientWidth / 2, (row - at.row) * at.scale + page.clientHeight / 2];
  }

  /** The panel nearest to a place of the page, and how far its trace is, px. */
  nearest([row, col]) {
    let best = null;
    for (const panel of this.panels || []) {
      const { points, first, stop } = panel;
      for (let k = first; k < stop; k += 2) {
        const far = Math.hypot(points[2 * k] - row, points[2 * k + 1] - col);
        if (far < (best ? best.far : Infinity)) best = { panel, far, index: k };
      }
    }
    return best;
  }

  /** The panel under a place of the paper. */
  panelOnPaper([down, along]) {
    const inside = (this.panels || []).filter((p) => along >= p.x && along <= p.x + p.width);
    return inside.sort((a, b) => Math.abs(a.y - down) - Math.abs(b.y - down))[0] || null;
  }

  /** Place of a panel's trace on the page at a time. */
  placeAt(panel, time) {
    const { points, first, stop } = panel;
    const share = (time - panel.start_s) / (panel.end_s - panel.start_s);
    const k = Math.min(stop - 1, Math.max(first, Math.round(first + share * (stop - first))));
    return Number.isNaN(points[2 * k]) ? null : [points[2 * k], points[2 * k + 1]];
  }

  /** Names are as large as the picture lets them be. */
  get font() {
    const px = Math.min(12, Math.max(9, (3.4 / (this.mmPerPx || 1)) * this.at.scale));
    return `600 ${px}px system-ui, sans-serif`;
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      const start = performance.now();
      this.drawPage(this.page.getContext("2d", { alpha: false }));
      this.drawPaper(this.paper.getContext("2d", { alpha: false }));
      performance.measure("frame", { start, end: performance.now() });
    });
  }

  drawPage(ctx) {
    const ratio = devicePixelRatio;
    const { width, height } = ctx.canvas;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.fillStyle = "#dfe4e6";
    ctx.fillRect(0, 0, width, height);
    const { row, col, scale } = this.at;
    if (!scale) return;
    const s = scale * ratio;
    ctx.setTransform(s, 0, 0, s, width / 2 - col * s, height / 2 - row * s);
    this.drawPicture(ctx, s);
    if (!this.state || this.state.error) { this.drawMarks(ctx, s); return; }
    ctx.lineJoin = "round";
    const shift = this.marks.shift;
    for (const [index, path] of this.rowPaths) {
      if (this.panels.some((panel) => panel.row === index)) continue;
      ctx.strokeStyle = GREY;
      ctx.lineWidth = (1.5 * ratio) / s;
      ctx.stroke(path);
    }
    for (const panel of this.panels) {
      const lit = this.lead === panel.lead;
      ctx.globalAlpha = this.lead && !lit ? 0.45 : 0.92;
      ctx.strokeStyle = COLOURS[panel.lead] || GREY;
      ctx.lineWidth = ((lit ? 2.6 : 1.5) * ratio) / s;
      ctx.stroke(panel.path);
    }
    ctx.globalAlpha = 1;
    if (shift) this.drawShifted(ctx, s, shift);
    this.drawMarks(ctx, s);
    this.drawNames(ctx);
  }

  drawPicture(ctx, s) {
    let level = 0;
    while (level + 1 < this.levels.length && s * 2 ** (level + 1) <= 1) level++;
    const bitmap = this.levels[level];
    if (!bitmap) return;
    const [height, width] = this.size;
    const by = bitmap.width / width;
    // The part that is seen, alone: drawing all of a large picture takes long where it is enlarged.
    const { row, col } = this.at;
    const [halfH, halfW] = [ctx.canvas.height / 2 / s + 2, ctx.canvas.width / 2 / s + 2];
    const left = Math.max(0, Math.floor(col - halfW));
    const top = Math.max(0, Math.floor(row - halfH));
    const right = Math.min(width, Math.ceil(col + halfW));
    const foot = Math.min(height, Math.ceil(row + halfH));
    if (right <= left || foot <= top) return;
    ctx.imageSmoothingEnabled = s < 4;
    ctx.drawImage(bitmap, left * by, top * by, (right - left) * by, (foot - top) * by, left - 0.5, top - 0.5, right - left, foot - top);
  }

  /** The trace between two places, moved: what a nudge would do. */
  drawShifted(ctx, s, { row, ends, move }) {
    const points = this.rows.get(row);
    if (!points) return;
    const cols = ends.map((end) => end[1]).sort((a, b) => a - b);
    const moved = new Float32Array(points.length).fill(NaN);
    for (let k = 0; k < points.length; k += 2) {
      if (points[k + 1] >= cols[0] && points[k + 1] <= cols[1]) {
        moved[k] = points[k] + move[0];
        moved[k + 1] = points[k + 1] + move[1];
      }
    }
    ctx.strokeStyle = "#000";
    ctx.lineWidth = (2 * devicePixelRatio) / s;
    ctx.stroke(pathOf(moved, 0, moved.length / 2));
  }

  drawMarks(ctx, s) {
    const { stroke, span, cross, frame, edge, zero } = this.marks;
    const px = devicePixelRatio / s;
    const line = (points, colour, wide, dash = []) => {
      ctx.strokeStyle = colour;
      ctx.lineWidth = wide * px;
      ctx.setLineDash(dash.map((d) => d * px));
      ctx.beginPath();
      points.forEach(([r, c], k) => (k ? ctx.lineTo(c, r) : ctx.moveTo(c, r)));
      ctx.stroke();
      ctx.setLineDash([]);
    };
    if (edge !== undefined) {
      for (const one of this.state.edges || []) {
        const chosen = one.column === edge.column;
        const by = chosen ? edge.moved || 0 : 0;
        line(one.line.map(([r, c]) => [r, c + by]), chosen ? "#b00070" : "#12495a", chosen ? 3 : 1.5, [8, 5]);
      }
    }
    if (zero) line(zero.panel.zero.map(([r, c]) => [r + zero.moved[0], c + zero.moved[1]]), "#b00070", 2, [8, 4]);
    if (span) {
      const cols = span.map((end) => end[1]).sort((a, b) => a - b);
      const rows = span.map((end) => end[0]);
      const middle = (rows[0] + rows[1]) / 2;
      const half = 12 / (this.mmPerPx || 0.2);
      ctx.fillStyle = "rgb(176 0 112 / 14%)";
      ctx.fillRect(cols[0], middle - half, cols[1] - cols[0], 2 * half);
    }
    if (stroke && stroke.length) {
      line(stroke, "#b00070", 2);
      for (const [r, c] of [stroke[0], stroke.at(-1)]) {
        ctx.fillStyle = "#b00070";
        ctx.fillRect(c - 3 * px, r - 3 * px, 6 * px, 6 * px);
      }
    }
    if (frame) {
      const [[t, l], [b, r]] = frame;
      line([[t, l], [t, r], [b, r], [b, l], [t, l]], "#b00070", 2, [6, 4]);
    }
    if (cross) {
      line([[cross[0] - 14 * px, cross[1]], [cross[0] + 14 * px, cross[1]]], "#b00070", 2);
      line([[cross[0], cross[1] - 14 * px], [cross[0], cross[1] + 14 * px]], "#b00070", 2);
    }
    if (this.hover) {
      const place = this.placeAt(this.hover.panel, this.hover.time);
      if (place) {
        ctx.fillStyle = COLOURS[this.hover.panel.lead] || GREY;
        ctx.beginPath();
        ctx.arc(place[1], place[0], 5 * px, 0, 7);
        ctx.fill();
      }
    }
  }

  /** Names of the leads, and the numbers of warnings about them, at their panels. */
  drawNames(ctx) {
    const ratio = devicePixelRatio;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.font = this.font;
    ctx.textBaseline = "bottom";
    const numbers = new Map();
    (this.state.warnings || []).forEach((warning, k) => {
      for (const lead of warning.leads) numbers.set(lead, [...(numbers.get(lead) || []), k + 1]);
    });
    for (const panel of this.panels) {
      const [x, y] = this.onCanvas(panel.zero[0]);
      const up = y - Math.min(34, (9 / this.mmPerPx) * this.at.scale);
      const warned = numbers.has(panel.lead) ? ` ⚠${numbers.get(panel.lead).join(",")}` : "";
      const text = panel.lead + warned;
      const wide = ctx.measureText(text).width;
      ctx.fillStyle = "rgb(255 255 255 / 85%)";
      ctx.fillRect(x + 1, up - 15, wide + 6, 16);
      ctx.fillStyle = COLOURS[panel.lead] || GREY;
      ctx.fillText(text, x + 4, up);
    }
  }

  drawPaper(ctx) {
    const ratio = devicePixelRatio;
    const { width, height } = ctx.canvas;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.fillStyle = "#fffdfb";
    ctx.fillRect(0, 0, width, height);
    if (!this.toPaper) return;
    const s = (this.at.scale / this.mmPerPx) * ratio;
    const [down, along] = applied(this.toPaper, [this.at.row, this.at.col]);
    this.drawGrid(ctx, s, down, along);
    ctx.setTransform(s, 0, 0, s, width / 2 - along * s, height / 2 - down * s);
    ctx.lineJoin = "round";
    for (const panel of this.panels) {
      const colour = COLOURS[panel.lead] || GREY;
      const lit = this.lead === panel.lead;
      ctx.globalAlpha = this.lead && !lit ? 0.12 : 0.26;
      ctx.fillStyle = colour;
      ctx.fill(panel.band);
      ctx.globalAlpha = this.lead && !lit ? 0.4 : 1;
      ctx.strokeStyle = lit ? colour : "#1c2428";
      ctx.lineWidth = ((lit ? 2.2 : 1.2) * ratio) / s;
      ctx.stroke(panel.curve);
    }
    ctx.globalAlpha = 1;
    if (this.hover) this.drawTime(ctx, (ratio / s));
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.font = this.font;
    ctx.textBaseline = "bottom";
    for (const panel of this.panels) {
      const x = ((panel.x - along) * s + width / 2) / ratio;
      const y = ((panel.y - 7 - down) * s + height / 2) / ratio;
      const lead = this.leads.get(panel.lead);
      const told = lead && lead.status !== "ok" && (panel.width * s) / ratio > ROOM_PX;
      const text = told ? `${panel.lead} · ${lead.status}` : panel.lead;
      ctx.fillStyle = "rgb(255 253 251 / 85%)";
      ctx.fillRect(x + 1, y - 15, ctx.measureText(text).width + 6, 16);
      ctx.fillStyle = COLOURS[panel.lead] || GREY;
      ctx.fillText(text, x + 4, y);
    }
  }

  drawGrid(ctx, s, down, along) {
    const { width, height } = ctx.canvas;
    const lines = (step, colour, wide) => {
      ctx.strokeStyle = colour;
      ctx.lineWidth = wide;
      ctx.beginPath();
      for (let mm = Math.ceil((along - width / 2 / s) / step) * step; mm < along + width / 2 / s; mm += step) {
        const x = Math.round((mm - along) * s + width / 2) + 0.5;
        ctx.moveTo(x, 0);
        ctx.lineTo(x, height);
      }
      for (let mm = Math.ceil((down - height / 2 / s) / step) * step; mm < down + height / 2 / s; mm += step) {
        const y = Math.round((mm - down) * s + height / 2) + 0.5;
        ctx.moveTo(0, y);
        ctx.lineTo(width, y);
      }
      ctx.stroke();
    };
    if (s > 3) lines(1, "#f9e3e0", 1);
    if (s > 0.8) lines(5, "#f0bdb7", 1);
  }

  drawTime(ctx, px) {
    const { panel, time } = this.hover;
    const lead = this.leads.get(panel.lead);
    const n = Math.round(time * this.state.fs);
    const value = lead?.samples?.[n];
    const x = panel.x + (time - panel.start_s) * MM_S;
    ctx.strokeStyle = "#12495a";
    ctx.lineWidth = px;
    ctx.beginPath();
    ctx.moveTo(x, panel.y - 14);
    ctx.lineTo(x, panel.y + 10);
    ctx.stroke();
    if (value === undefined || value === MISSING) return;
    ctx.fillStyle = COLOURS[panel.lead] || GREY;
    ctx.beginPath();
    ctx.arc(x, panel.y - (value * lead.uv * MM_MV) / 1000, 4 * px, 0, 7);
    ctx.fill();
  }
}
