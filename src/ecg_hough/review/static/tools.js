// What a pointer or the keys do on the page with each tool. A tool asks for corrections; it changes nothing itself.

const STEP_MM = { nudge: 0.1, zero: 0.1, edge: 0.25 };
const FASTER = 5;
const CROSS_PX = 3;
const CLICK_PX = 4;
const STROKE_MAX = 2000;
const PAUSE_MS = 500; // after the last key of a row of small steps, they become one correction

/** Millimetres down and along of a way on the page, px. */
function inMm(state, [dr, dc]) {
  const [[a, b], [c, d]] = state.mm_px;
  const det = a * d - b * c;
  return [(dr * d - dc * c) / det, (dc * a - dr * b) / det];
}

const inPx = (state, [down, right]) => state.mm_px[0].map((one, k) => one * down + state.mm_px[1][k] * right);

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

class Tool {
  constructor(desk) {
    this.desk = desk;
    this.view = desk.view;
  }
  begin() { this.say(); }
  end() { this.cancel(); }
  cancel() { this.view.marks = {}; this.view.draw(); }
  down() {}
  move() {}
  up() {}
  key() { return false; }
  say() { this.desk.tip(this.words); }
  get words() { return ""; }
}

/** Looks and chooses leads; dragging moves both pictures. */
class Select extends Tool {
  key(event) {
    const way = ARROWS[event.key];
    if (!way) return false;
    const by = event.shiftKey ? 200 : 50;
    this.view.pan(-way[1] * by, -way[0] * by);
    return true;
  }
}

/** Two places along a trace: clicked one after the other, dragged, or set with the cross. */
class Between extends Tool {
  begin() {
    super.begin();
    this.points = [];
  }
  cancel() {
    this.points = [];
    this.pressed = null;
    super.cancel();
  }
  cross(event) {
    const way = ARROWS[event.key];
    if (!way) return false;
    const by = (CROSS_PX * (event.shiftKey ? FASTER : 1)) / this.view.at.scale;
    const at = this.view.marks.cross || this.desk.startOfCross();
    this.view.marks.cross = [at[0] + way[0] * by, at[1] + way[1] * by];
    this.preview(this.view.marks.cross);
    return true;
  }
  key(event) {
    if (event.key !== "Enter") return this.cross(event);
    this.point(this.view.marks.cross || this.desk.startOfCross());
    return true;
  }
  down(place) {
    this.pressed = place;
    if (!this.points.length) this.points = [place];
  }
  move(place) {
    if (this.pressed && this.freehand) this.points.push(place);
    if (this.points.length) this.preview(place);
  }
  up(place) {
    if (!this.pressed) return;
    const moved = Math.hypot(place[0] - this.pressed[0], place[1] - this.pressed[1]) * this.view.at.scale;
    const wasFirst = this.pressed === this.points[0];
    this.pressed = null;
    if (moved > CLICK_PX || !wasFirst) this.finish(place);
  }
  point(place) {
    if (this.points.length) this.finish(place);
    else {
      this.points = [place];
      this.preview(place);
      this.desk.tip("Now the other end: move the cross, then Enter");
    }
  }
  preview(place) {
    if (this.points.length) this.view.marks.span = [this.points[0], place];
    this.view.draw();
  }
  finish(place) {
    const ends = [this.points[0], place];
    const panel = this.desk.panelFor(ends[0]);
    this.cancel();
    this.say();
    if (Math.abs(ends[1][1] - ends[0][1]) * this.view.at.scale < CLICK_PX || !panel) return;
    this.use(panel, ends);
  }
}

class Redraw extends Between {
  get freehand() { return true; }
  get snap() { return true; }
  get words() { return "Drag along the trace, or click its two ends: what lies between is found in the ink"; }
  preview(place) {
    if (this.points.length) this.view.marks.stroke = [...this.points, place];
    this.view.draw();
  }
  finish(place) {
    const every = Math.max(this.snap ? 2 : 1, Math.ceil((this.points.length + 1) / (STROKE_MAX - 1)));
    const stroke = [...this.points, place].filter((one, k, all) => !k || k === all.length - 1 || k % every === 0);
    const panel = this.desk.panelFor(stroke[0]);
    this.cancel();
    this.say();
    if (Math.abs(place[1] - stroke[0][1]) * this.view.at.scale < CLICK_PX || !panel) return;
    this.view.marks.stroke = stroke;
    this.desk.correct("redraw", { row: panel.row, stroke, snap: this.snap }).finally(() => this.cancel());
  }
}

/** Where the ink misleads: the trace is what is drawn. */
class Freehand extends Redraw {
  get snap() { return false; }
  get words() { return "Zoom in and draw along the trace: it is taken as you draw it"; }
}

class Unreadable extends Between {
  get words() { return "Drag over the stretch that cannot be read, or click its two ends"; }
  use(panel, ends) { this.desk.correct("unreadable", { row: panel.row, ends }); }
}

class Restore extends Between {
  get words() { return "Drag over the stretch that is to be as the machine read it"; }
  use(panel, ends) { this.desk.correct("restore", { row: panel.row, ends }); }
}

/** Small steps that become one correction after a pause. */
const Stepwise = (Base) => class extends Base {
  begin() {
    this.from = null;
    super.begin();
  }
  step(by) {
    this.total = this.total ? [this.total[0] + by[0], this.total[1] + by[1]] : by;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), PAUSE_MS);
  }
  flush() {
    clearTimeout(this.timer);
    const total = this.total;
    this.total = null;
    if (total && (total[0] || total[1])) this.commit(total.map((one) => Math.round(one * 1000) / 1000));
  }
  end() {
    this.flush();
    super.end();
  }
  cancel() {
    clearTimeout(this.timer);
    this.total = null;
    super.cancel();
  }
};

class Nudge extends Stepwise(Between) {
  get words() { return "Choose a lead, or drag over a stretch of one; then the arrow keys move it by 0.1 mm"; }
  begin() {
    super.begin();
    this.target = null;
  }
  use(panel, ends) {
    this.target = { row: panel.row, ends };
    this.view.marks.span = ends;
    this.view.draw();
    this.desk.focusPage();
  }
  get stretch() {
    if (this.target) return this.target;
    const panel = this.desk.chosen();
    return panel && { row: panel.row, ends: panel.zero };
  }
  key(event) {
    if (event.key === "Enter" && this.total) { this.flush(); return true; }
    const way = ARROWS[event.key];
    const stretch = this.stretch;
    if (!way || !stretch) return super.key(event);
    const by = STEP_MM.nudge * (event.shiftKey ? FASTER : 1);
    this.step([way[0] * by, way[1] * by]);
    this.view.marks.shift = { ...stretch, move: inPx(this.desk.state, this.total) };
    this.view.draw();
    return true;
  }
  commit([down_mm, right_mm]) {
    const stretch = this.stretch;
    this.desk.correct("nudge", { ...stretch, down_mm, right_mm }).finally(() => {
      this.view.marks.shift = null;
      this.view.draw();
    });
  }
}

class Zero extends Stepwise(Tool) {
  get words() { return "Drag a lead's zero line, or move that of the chosen lead with the arrow keys"; }
  down(place) {
    this.panel = this.desk.panelFor(place);
    this.desk.choose(this.panel);
    this.from = place;
  }
  move(place) {
    if (!this.from || !this.panel) return;
    const [down] = inMm(this.desk.state, [place[0] - this.from[0], place[1] - this.from[1]]);
    this.total = [down, 0];
    this.preview();
  }
  up() {
    this.from = null;
    this.flush();
  }
  preview() {
    this.view.marks.zero = { panel: this.panel, moved: inPx(this.desk.state, this.total || [0, 0]) };
    this.view.draw();
  }
  key(event) {
    const way = ARROWS[event.key];
    if (event.key === "Enter") { this.flush(); return true; }
    if (!way || !way[0]) return false;
    this.panel = this.desk.chosen();
    if (!this.panel) return false;
    this.step([way[0] * STEP_MM.zero * (event.shiftKey ? FASTER : 1), 0]);
    this.preview();
    return true;
  }
  commit([down]) {
    const { key, zero_mm } = this.panel;
    const down_mm = Math.round((zero_mm + down) * 1000) / 1000;
    this.desk.correct("zero", { panel: key, down_mm }).finally(() => this.cancel());
  }
}

class Edge extends Stepwise(Tool) {
  get words() { return "Drag the edge of a column, or choose one with [ ] and move it with ← →"; }
  begin() {
    super.begin();
    this.show(0);
  }
  get edges() { return this.desk.state.edges || []; }
  show(column) {
    this.column = column;
    this.view.marks.edge = { column, moved: 0 };
    this.view.draw();
  }
  lead(by) {
    this.flush();
    this.show(Math.min(this.edges.length - 1, Math.max(0, this.column + by)));
    this.desk.say(`edge ${this.column + 1} of ${this.edges.length}`);
  }
  down(place) {
    const far = (one) => Math.abs((one.line[0][1] + one.line[1][1]) / 2 - place[1]);
    const nearest = [...this.edges].sort((a, b) => far(a) - far(b))[0];
    if (!nearest) return;
    this.show(nearest.column);
    this.from = place;
  }
  move(place) {
    if (!this.from) return;
    this.total = [0, place[1] - this.from[1]];
    this.preview();
  }
  up() {
    this.from = null;
    this.flush();
  }
  preview() {
    this.view.marks.edge = { column: this.column, moved: (this.total || [0, 0])[1] };
    this.view.draw();
  }
  key(event) {
    const way = ARROWS[event.key];
    if (event.key === "Enter") { this.flush(); return true; }
    if (!way || !way[1]) return false;
    const by = inPx(this.desk.state, [0, way[1] * STEP_MM.edge * (event.shiftKey ? FASTER : 1)]);
    this.step([0, by[1]]);
    this.preview();
    return true;
  }
  commit([, moved]) {
    const edge = this.edges.find((one) => one.column === this.column);
    if (!edge) return;
    const [[top, left], [foot, right]] = edge.line;
    const at = [(top + foot) / 2, (left + right) / 2 + moved];
    this.desk.correct("edge", { column: this.column, at }).finally(() => this.show(this.column));
  }
}

class Crop extends Between {
  get words() { return "Drag a frame around the page, or set two corners; then Read again"; }
  preview(place) {
    if (this.points.length) this.view.marks.frame = [this.points[0], place];
    this.view.draw();
  }
  finish(place) {
    const [a, b] = [this.points[0], place];
    this.points = [];
    const [height, width] = this.view.size;
    const within = (value, most) => Math.round(Math.min(most, Math.max(0, value)));
    const box = [
      within(Math.min(a[0], b[0]), height), within(Math.min(a[1], b[1]), width),
      within(Math.max(a[0], b[0]), height), within(Math.max(a[1], b[1]), width),
    ];
    this.view.marks = { frame: [box.slice(0, 2), box.slice(2)] };
    this.view.draw();
    this.desk.framed(box);
  }
}

export const TOOLS = { select: Select, redraw: Redraw, freehand: Freehand, nudge: Nudge, unreadable: Unreadable, restore: Restore, zero: Zero, edge: Edge, crop: Crop };
export const TOOL_KEYS = { v: "select", d: "redraw", f: "freehand", n: "nudge", x: "unreadable", e: "restore", z: "zero", c: "edge", k: "crop" };
