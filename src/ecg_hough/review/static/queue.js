// The queue: pages, riskiest first, with filters; decided with one key.

import { askReason, isTyping, keysAreOn, post, queueOf, saveFilters, savedFilters, say } from "./api.js";

const filters = document.getElementById("filters");
const body = document.getElementById("pages");
let rows = [];
let chosen = 0;

function cell(text, kind) {
  const td = document.createElement("td");
  td.textContent = text;
  if (kind) td.className = kind;
  return td;
}

function badge(text) {
  const td = document.createElement("td");
  const span = document.createElement("span");
  span.className = `badge ${text}`;
  span.textContent = text;
  td.append(span);
  return td;
}

function lineOf(page, k) {
  const tr = document.createElement("tr");
  const name = document.createElement("td");
  const link = document.createElement("a");
  link.href = `/pages/${page.id}`;
  link.textContent = page.name;
  name.append(link);
  const decision = badge(page.decision);
  if (page.who) decision.title = `${page.who}${page.reason ? `: ${page.reason}` : ""}`;
  tr.append(name, cell(page.layout || "–"), cell(page.probability === null ? "–" : page.probability.toFixed(2), "number"),
    badge(page.status), cell(page.warnings.join("; ") || "–", "words"), cell(page.corrections || "", "number"), decision);
  tr.addEventListener("click", () => { choose(k); location.href = link.href; });
  link.addEventListener("focus", () => choose(k));
  return tr;
}

function choose(k) {
  chosen = Math.max(0, Math.min(rows.length - 1, k));
  [...body.children].forEach((tr, j) => tr.classList.toggle("chosen", j === chosen));
}

function showProgress({ all, accepted, rejected, corrected }) {
  const done = accepted + rejected;
  document.getElementById("done").style.width = `${(100 * done) / Math.max(1, all)}%`;
  const bar = document.getElementById("bar");
  bar.setAttribute("aria-valuemax", all);
  bar.setAttribute("aria-valuenow", done);
  document.getElementById("progress").textContent =
    `${done} of ${all} decided: ${accepted} accepted, ${rejected} rejected; ${corrected} corrected`;
}

async function load() {
  const wanted = savedFilters();
  const found = await queueOf(wanted);
  for (const select of filters.querySelectorAll("select")) {
    const values = ["", ...found.choices[select.name]];
    if (wanted[select.name] && !values.includes(wanted[select.name])) values.push(wanted[select.name]);
    select.replaceChildren(...values.map((value) => new Option(value || "all", value)));
    select.value = wanted[select.name] || "";
  }
  rows = found.pages;
  body.replaceChildren(...rows.map(lineOf));
  document.getElementById("none").hidden = rows.length > 0;
  showProgress(found.progress);
  choose(chosen);
}

async function decide(decision) {
  const page = rows[chosen];
  if (!page) return;
  const reason = decision === "rejected" ? await askReason() : "";
  if (reason === null) return;
  try {
    await post(`/api/pages/${page.id}/decision`, { version: page.corrections, decision, reason });
    say(`${page.name} ${decision}`);
  } catch (refusal) {
    say(refusal.message);
  }
  await load();
}

filters.addEventListener("change", () => {
  saveFilters(Object.fromEntries(new FormData(filters)));
  chosen = 0;
  load();
});

document.getElementById("me").addEventListener("submit", async (event) => {
  event.preventDefault();
  await post("/api/me", { name: document.getElementById("name").value });
  location.reload();
});

document.addEventListener("keydown", (event) => {
  if (isTyping(event) || event.ctrlKey || event.metaKey || (event.key.length === 1 && !keysAreOn())) return;
  const key = event.key;
  if (key === "ArrowDown" || key === "ArrowUp") {
    choose(chosen + (key === "ArrowDown" ? 1 : -1));
    body.children[chosen]?.querySelector("a").focus();
  } else if (key === "a") decide("accepted");
  else if (key === "r") decide("rejected");
  else if (key === "o") decide("open");
  else return;
  event.preventDefault();
});

load();
