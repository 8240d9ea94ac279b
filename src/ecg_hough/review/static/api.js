// Requests to the server, and what of its answers is coded.

const token = document.querySelector('meta[name="csrf"]').content;

/** An answer that is no success: its HTTP status and what the server says. */
export class Refusal extends Error {
  constructor(status, answer) {
    super(answer.detail || `the server answered ${status}`);
    this.status = status;
    this.answer = answer;
  }
}

async function ask(method, path, body, options = {}) {
  const headers = { "X-CSRF-Token": token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const reply = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), ...options });
  if (!reply.ok) throw new Refusal(reply.status, await reply.json().catch(() => ({})));
  return reply;
}

export const get = async (path) => (await ask("GET", path)).json();
export const post = async (path, body, options) => {
  const reply = await ask("POST", path, body, options);
  return reply.status === 204 ? null : reply.json();
};
export const picture = async (path) => (await ask("GET", path)).blob();

function bytes(text) {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) out[k] = raw.charCodeAt(k);
  return out.buffer;
}

/** Base64 to numbers: places of a trace, row and column in turn; samples in steps. */
export const floats = (text) => new Float32Array(bytes(text));
export const steps = (text) => new Int16Array(bytes(text));

/** Told to people who do not see the change. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** Asks for a reason; null where the person thinks better of it. */
export function askReason() {
  const dialog = document.getElementById("reject");
  const field = document.getElementById("reason");
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "reject" ? field.value.trim() : null), { once: true });
  });
}

/** Whether a key is meant for a field or a dialog, not for the page. */
export function isTyping(event) {
  const tag = event.target.tagName;
  return tag === "INPUT" || tag === "SELECT" || tag === "TEXTAREA" || document.querySelector("dialog[open]") !== null
    || event.altKey || ((event.ctrlKey || event.metaKey) && !"zy".includes(event.key.toLowerCase()));
}

const FILTERS = "ecg-hough-filters";
export const savedFilters = () => JSON.parse(sessionStorage.getItem(FILTERS) || '{"decision": "open"}');
export const saveFilters = (filters) => sessionStorage.setItem(FILTERS, JSON.stringify(filters));
export const queueOf = (filters) => get(`/api/queue?${new URLSearchParams(filters)}`);

const KEYS = "ecg-hough-keys";
/** Whether keys of one letter do anything: people who dictate turn them off. */
export const keysAreOn = () => localStorage.getItem(KEYS) !== "off";
export const setKeys = (on) => localStorage.setItem(KEYS, on ? "on" : "off");
