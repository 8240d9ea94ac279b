// A page: two pictures, tools, forms; every correction goes to the server at once, in order.

import { Refusal, askReason, get, isTyping, keysAreOn, picture, post, queueOf, savedFilters, say, setKeys } from "./api.js";
import { TOOLS, TOOL_KEYS } from "./tools.js";
import { View } from "./view.js";

const NEAR_PX = 16;
const PRESENCE_MS = 4000;
const WHEEL = 1.0016;
const $ = (id) => document.getElementById(id);
const id = Number($("main").dataset.page);
const session = crypto.randomUUID();
const ofPage = (number) => `/api/pages/${id}?number=${number}`;
const pictureOf = (number) => `/api/pages/${id}/image?number=${number}`;

/** Shows a value in a field, unless a person is typing another one into it. */
function setField(field, value) {
  const text = String(value ?? "");
  if (field === document.activeElement && field.value !== field.dataset.shown) return;
  field.value = text;
  field.dataset.shown = field.value;
}

class Desk {
  constructor() {
    this.view = new View($("page"), $("paper"));
    this.state = null;
    this.numbers = $("main").dataset.numbers.split(",").map(Number); // of the record's pages, in their file
    this.number = this.numbers[0]; // of the page that is shown
    this.panel = null;
    this.sending = Promise.resolve();
    this.busy = 0;
    this.box = [];
    this.tools = Object.fromEntries(Object.entries(TOOLS).map(([name, Made]) => [name, new Made(this)]));
    this.tool = this.tools.select;
  }

  // ---- what the tools need

  say(text) { say(text); }
  tip(text) { $("tip").textContent = text; }
  focusPage() { $("page").focus(); }
  chosen() { return this.view.panels?.find((panel) => panel.key === this.panel) || null; }

  /** The panel that a place on the page is meant for: the chosen one where it is above or below it. */
  panelFor([row, col]) {
    const chosen = this.chosen();
    if (chosen) {
      const [left, right] = chosen.zero.map((end) => end[1]);
      if (col >= Math.min(left, right) && col <= Math.max(left, right)) return chosen;
    }
    return this.view.nearest([row, col])?.panel || null;
  }

  startOfCross() {
    const panel = this.chosen();
    if (panel) {
      const middle = this.view.placeAt(panel, (panel.start_s + panel.end_s) / 2);
      if (middle) return middle;
    }
    return [this.view.at.row, this.view.at.col];
  }

  setBox(box) {
    this.box = box;
    $("crop-text").textContent = box.length
      ? `Rows ${box[0]} to ${box[2]}, columns ${box[1]} to ${box[3]} of the picture.`
      : "All of the picture. Drag a frame with the tool Crop.";
  }

  framed(box) {
    this.setBox(box);
    $("reread-form").closest("details").open = true;
    say("frame set; read again in the form");
  }

  // ---- to the server

  /** Sends a correction of the page that is shown after those before it; the answer is the page as it then is. */
  correct(kind, what = {}) {
    const { number } = this;
    return this.inTurn(async () => {
      const state = await post(`/api/pages/${id}/corrections`, { version: this.state.version, kind, what, number });
      await this.show(state);
      say(state.history?.at(-1)?.text || "done");
      this.tool.say();
    });
  }

  /** Shows another page of the record. */
  turnTo(number) {
    if (number === this.number) return this.sending;
    this.tool.flush?.(); // small steps that wait for more are of this page
    return this.inTurn(async () => {
      await this.show(await get(ofPage(number)));
      say(`page ${number}`);
    });
  }

  /** Does something after all that was begun before it; a refusal is told. */
  inTurn(act) {
    this.busy++;
    this.sending = this.sending.then(async () => {
      try {
        await act();
      } catch (refusal) {
        await this.refused(refusal);
      } finally {
        this.busy--;
      }
    });
    return this.sending;
  }

  async refused(refusal) {
    if (!(refusal instanceof Refusal)) {
      this.tip("The server does not answer; what was sent before is kept");
      return;
    }
    if (refusal.status === 409) await this.show(await get(ofPage(this.number)));
    else if (this.state) this.fill();
    this.tip(refusal.status === 409 ? `${refusal.message}; the page now shows it. Yours was not taken` : refusal.message);
    say(refusal.message);
  }

  async decide(decision) {
    const reason = decision === "rejected" ? await askReason() : "";
    if (reason === null) return;
    await this.sending;
    try {
      await post(`/api/pages/${id}/decision`, { version: this.state.version, decision, reason });
      await this.next();
    } catch (refusal) {
      await this.refused(refusal);
    }
  }

  async next() {
    await this.sending;
    const { pages } = await queueOf(savedFilters());
    const at = pages.findIndex((page) => page.id === id);
    const following = pages[at + 1] || pages.find((page) => page.id !== id);
    location.href = following ? `/pages/${following.id}` : "/";
  }

  async present(leaving = false) {
    try {
      const found = await post(`/api/pages/${id}/presence`, { session, leaving }, { keepalive: leaving });
      if (leaving || !this.state) return;
      $("others").textContent = found.others.length ? `Also here: ${found.others.join(", ")}` : "";
      if (found.version !== this.state.version && !this.busy) {
        const state = await get(ofPage(this.number));
        if (this.busy) return;
        await this.show(state);
        const last = state.history?.at(-1);
        if (last) this.tip(`${last.who}: ${last.text}`);
      }
    } catch {
      if (!leaving) $("others").textContent = "The server does not answer";
    }
  }

  // ---- what is shown

  /** Shows a page as it is now; its picture first where another page was shown. */
  async show(state) {
    const isOther = state.number !== this.number;
    if (isOther) {
      await this.view.setPicture(await picture(pictureOf(state.number)));
      this.number = state.number;
      this.panel = this.view.lead = this.view.hover = null;
      this.setBox([]);
    }
    this.state = state;
    $("wait").textContent = state.error ? `${state.error}. Crop or turn the page and read it again.` : "";
    this.view.setState(state);
    if (!this.chosen()) this.panel = null;
    this.fill();
    if (!isOther) return;
    this.tool.cancel();
    this.tool.begin();
  }

  choose(panel, { show = false } = {}) {
    this.panel = panel?.key || null;
    this.view.lead = panel?.lead || null;
    if (show && panel) this.view.show([panel]);
    this.fillLead();
    this.view.draw();
  }

  showLeads(leads) {
    this.view.lead = leads.length === 1 ? leads[0] : null;
    this.view.show(this.view.panels.filter((panel) => leads.includes(panel.lead)));
  }

  fill() {
    const { state } = this;
    for (const button of document.querySelectorAll("[data-number]")) {
      button.setAttribute("aria-pressed", Number(button.dataset.number) === this.number);
    }
    const decision = state.decision.decision;
    const status = state.error ? "failed" : state.page_status;
    const badge = $("badge");
    badge.className = `badge ${decision === "open" ? status : decision}`;
    badge.textContent = decision === "open" ? status : `${decision} by ${state.decision.who}`;
    badge.title = state.decision.reason || "";
    $("undo").disabled = !state.can_undo;
    $("redo").disabled = !state.can_redo;
    this.fillHistory();
    if (state.error) return;
    this.fillLead();
    this.fillScale();
    this.fillWarnings();
    for (const field of $("header-form").elements) setField(field, state.header[field.name]);
    this.setBox(state.part?.box || []);
    $("turns").value = state.part?.turns || 0;
  }

  fillLead() {
    const { state, view } = this;
    if (!state || state.error) return;
    const options = view.panels.map((panel) => new Option(
      `${panel.lead || "none"}, row ${panel.row + 1}${panel.rhythm ? " (strip)" : `, column ${panel.column + 1}`}`, panel.key));
    $("panel").replaceChildren(new Option("no panel chosen", ""), ...options);
    const panel = this.chosen();
    $("panel").value = panel?.key || "";
    $("lead").disabled = $("zero").disabled = !panel;
    $("lead").value = panel?.lead ?? "";
    setField($("zero"), panel?.zero_mm);
    const lead = panel && view.leads.get(panel.lead);
    const sure = lead?.probability === null || !lead ? "" : `, right with probability ${lead.probability.toFixed(2)}`;
    $("lead-status").textContent = lead ? `${lead.lead}: ${lead.status}${sure}` : "Choose a lead in a picture, or with [ and ].";
  }

  fillScale() {
    const { state } = this;
    const set = (name, value) => setField($(name), value);
    if (![...$("layout").options].some((option) => option.value === state.layout)) $("layout").add(new Option(state.layout));
    set("layout", state.layout);
    set("speed", state.speed_mm_s);
    set("limb", state.gain_mm_mv);
    set("chest", state.chest_gain_mm_mv);
    set("down", state.px_per_mm && Number(state.px_per_mm[0].toFixed(3)));
    set("across", state.px_per_mm && Number(state.px_per_mm[1].toFixed(3)));
  }

  fillWarnings() {
    const notice = this.state.notice ? [{ text: this.state.notice, leads: [], number: this.number }] : [];
    const items = [...this.state.warnings, ...notice].map(({ text, leads, number }, k) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `⚠${k + 1} ${text}`;
      button.addEventListener("click", () => this.turnTo(number).then(() => this.showLeads(leads)));
      item.append(button);
      return item;
    });
    $("warnings").replaceChildren(...(items.length ? items : [this.empty("None.")]));
  }

  fillHistory() {
    const items = (this.state.history || []).toReversed().map((entry) => {
      const item = document.createElement("li");
      const text = document.createElement("span");
      const by = document.createElement("small");
      text.textContent = entry.text;
      if (!entry.holds && !["undo", "redo"].includes(entry.kind)) text.className = "gone";
      by.textContent = `${entry.version} · ${entry.who}, ${new Date(entry.at).toLocaleString()}`;
      item.append(text, by);
      return item;
    });
    $("history").replaceChildren(...(items.length ? items : [this.empty("Nothing was corrected.")]));
  }

  empty(text) {
    const item = document.createElement("li");
    item.className = "empty";
    item.textContent = text;
    return item;
  }

  use(name) {
    this.tool.end();
    this.tool = this.tools[name];
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-pressed", button.dataset.tool === name);
    }
    $("page").style.cursor = name === "select" ? "grab" : "crosshair";
    this.tool.begin();
  }

  stepLead(by) {
    if (this.tool.lead) { this.tool.lead(by); return; }
    const panels = this.view.panels || [];
    if (!panels.length) return;
    const at = panels.findIndex((panel) => panel.key === this.panel);
    const panel = panels[(at + by + panels.length) % panels.length];
    this.choose(panel, { show: true });
    say(`${panel.lead}, ${this.view.leads.get(panel.lead)?.status || ""}`);
  }
}

const desk = new Desk();
const { view } = desk;

// ---- pointers: one acts or pans, two zoom

const fingers = new Map();
let panning = null;

function placeIn(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function pinch(canvas, event) {
  const before = [...fingers.values()];
  fingers.set(event.pointerId, placeIn(canvas, event));
  const after = [...fingers.values()];
  const far = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const [m, n] = [middle(before), middle(after)];
  view.pan(n[0] - m[0], n[1] - m[1], canvas);
  if (far(before) > 10) view.zoom(far(after) / far(before), canvas, ...n);
}

for (const canvas of [view.page, view.paper]) {
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, placeIn(canvas, event));
    if (fingers.size > 1) { desk.tool.cancel(); panning = null; return; }
    const pans = canvas === view.paper || desk.tool === desk.tools.select || event.button === 1;
    panning = pans ? { moved: 0 } : null;
    if (!pans && desk.state && !desk.state.error) desk.tool.down(view.placeOf(canvas, ...placeIn(canvas, event)));
    else if (!pans && desk.tool === desk.tools.crop) desk.tool.down(view.placeOf(canvas, ...placeIn(canvas, event)));
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = placeIn(canvas, event);
    if (fingers.size > 1 && fingers.has(event.pointerId)) { pinch(canvas, event); return; }
    if (panning && fingers.has(event.pointerId)) {
      const [x, y] = fingers.get(event.pointerId);
      panning.moved += Math.hypot(at[0] - x, at[1] - y);
      view.pan(at[0] - x, at[1] - y, canvas);
      fingers.set(event.pointerId, at);
      return;
    }
    if (canvas === view.page) desk.tool.move(view.placeOf(canvas, ...at));
    hover(canvas, at);
  });
  canvas.addEventListener("pointerup", (event) => {
    const alone = fingers.size === 1;
    fingers.delete(event.pointerId);
    const at = placeIn(canvas, event);
    if (panning) {
      if (alone && panning.moved < 4) desk.choose(under(canvas, at)?.panel || null);
      panning = null;
    } else if (alone && canvas === view.page) desk.tool.up(view.placeOf(canvas, ...at));
  });
  canvas.addEventListener("pointercancel", (event) => { fingers.delete(event.pointerId); panning = null; });
  canvas.addEventListener("pointerleave", () => { view.hover = null; view.lead = desk.chosen()?.lead || null; view.draw(); });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoom(WHEEL ** -event.deltaY, canvas, ...placeIn(canvas, event));
  }, { passive: false });
}

/** The panel, and the time in it, under a place of a canvas. */
function under(canvas, at) {
  if (!view.panels?.length) return null;
  if (canvas === view.paper) {
    const place = view.paperPlace(...at);
    const panel = view.panelOnPaper(place);
    return panel && { panel, time: panel.start_s + (place[1] - panel.x) / 25 };
  }
  const found = view.nearest(view.placeOf(canvas, ...at));
  if (!found || found.far * view.at.scale > NEAR_PX) return null;
  const { panel, index } = found;
  const share = (index - panel.first) / Math.max(1, panel.stop - panel.first);
  return { panel, time: panel.start_s + share * (panel.end_s - panel.start_s) };
}

function hover(canvas, at) {
  view.hover = under(canvas, at);
  view.lead = view.hover?.panel.lead || desk.chosen()?.lead || null;
  view.draw();
}

// ---- keys

const ACTIONS = {
  a: () => desk.decide("accepted"),
  r: () => desk.decide("rejected"),
  j: () => desk.next(),
  p: () => desk.turnTo(desk.numbers[(desk.numbers.indexOf(desk.number) + 1) % desk.numbers.length]),
  u: () => $("undo").click(),
  y: () => $("redo").click(),
  "[": () => desk.stepLead(-1),
  "]": () => desk.stepLead(1),
  "+": () => view.zoom(1.3),
  "=": () => view.zoom(1.3),
  "-": () => view.zoom(1 / 1.3),
  0: () => view.fit(),
  s: () => $("stack").click(),
  "?": () => $("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (isTyping(event)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z" && !event.shiftKey) ACTIONS.u();
    else if (key === "y" || key === "z") ACTIONS.y();
    else return;
    event.preventDefault();
    return;
  }
  if (key === "Escape") { desk.tool.cancel(); desk.tool.say(); return; }
  if (event.target.tagName === "CANVAS" && desk.state && !desk.state.error && desk.tool.key(event)) { event.preventDefault(); return; }
  if (!keysAreOn()) return;
  if (TOOL_KEYS[key]) {
    if (!desk.state) return;
    desk.use(TOOL_KEYS[key]);
    $("page").focus();
  } else if (ACTIONS[key]) ACTIONS[key]();
  else return;
  event.preventDefault();
});

// ---- buttons and forms

for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => desk.use(button.dataset.tool));
for (const button of document.querySelectorAll("[data-number]")) {
  button.addEventListener("click", () => desk.turnTo(Number(button.dataset.number)));
}
$("accept").addEventListener("click", () => desk.decide("accepted"));
$("rejected").addEventListener("click", () => desk.decide("rejected"));
$("next").addEventListener("click", () => desk.next());
$("undo").addEventListener("click", () => desk.correct("undo"));
$("redo").addEventListener("click", () => desk.correct("redo"));
$("in").addEventListener("click", () => view.zoom(1.3));
$("out").addEventListener("click", () => view.zoom(1 / 1.3));
$("fit").addEventListener("click", () => view.fit());
$("help").addEventListener("click", () => $("keys").showModal());
$("stack").addEventListener("click", () => {
  const stacked = document.body.classList.toggle("stacked");
  $("stack").setAttribute("aria-pressed", stacked);
  view.fitted = true; // in the room that it then has
});
$("single").checked = keysAreOn();
$("single").addEventListener("change", (event) => setKeys(event.target.checked));

for (const form of document.querySelectorAll("aside form")) form.addEventListener("submit", (event) => event.preventDefault());

$("panel").addEventListener("change", (event) => desk.choose(view.panels.find((one) => one.key === event.target.value), { show: true }));
$("lead").addEventListener("change", (event) => {
  const panel = desk.chosen();
  const lead = event.target.value;
  const names = { [panel.key]: lead };
  // The panel that showed that lead gets this one's name: two panels are never of one lead but for strips.
  const other = view.panels.find((one) => one.lead === lead && one.rhythm === panel.rhythm && one.key !== panel.key);
  if (other && lead && !panel.rhythm) names[other.key] = panel.lead;
  desk.correct("names", { names });
});
$("zero").addEventListener("change", (event) => desk.correct("zero", { panel: desk.panel, down_mm: Number(event.target.value) }));

const scale = {
  layout: (value) => desk.correct("layout", { layout: value }),
  speed: (value) => desk.correct("speed", { mm_s: Number(value) }),
  limb: (value) => {
    const same = desk.state.gain_mm_mv === desk.state.chest_gain_mm_mv;
    return desk.correct("gain", { group: same ? "all" : "limb", mm_mv: Number(value) });
  },
  chest: (value) => desk.correct("gain", { group: "chest", mm_mv: Number(value) }),
  down: () => desk.correct("pitch", { down: Number($("down").value), across: Number($("across").value) }),
  across: () => desk.correct("pitch", { down: Number($("down").value), across: Number($("across").value) }),
};
$("scale-form").addEventListener("change", (event) => scale[event.target.name]?.(event.target.value));

$("reread-form").addEventListener("submit", () => {
  desk.tip("Reading the page again…");
  desk.use("select");
  desk.correct("reread", { box: desk.box, turns: Number($("turns").value) });
});
$("whole").addEventListener("click", () => {
  desk.setBox([]);
  desk.tools.crop.cancel();
});

$("header-form").addEventListener("change", ({ target }) => {
  const value = target.value === "" ? null : target.type === "number" ? Number(target.value) : target.value;
  desk.correct("header", { values: { [target.name]: value } });
});

$("export-form").addEventListener("submit", (event) => {
  const formats = new FormData(event.target).getAll("format").join(",");
  const link = document.createElement("a");
  link.href = `/api/pages/${id}/export?formats=${encodeURIComponent(formats)}`;
  link.download = "";
  link.click();
});

// ---- begin

window.addEventListener("pagehide", () => desk.present(true));
desk.use("select");
const read = get(ofPage(desk.number)).then((state) => desk.show(state));
picture(pictureOf(desk.number))
  .then((blob) => view.setPicture(blob))
  .then(() => read)
  .then(() => { document.body.dataset.ready = "yes"; })
  .catch((refusal) => { $("wait").textContent = refusal.message; });
desk.present();
setInterval(() => desk.present(), PRESENCE_MS);
