// The console's one script: pages work without it. It swaps what has changed, copies
// commands, ticks boxes together, and sends files. No state of its own but the page's.
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);

// A page is fetched again after so long at least, and after so many times as long as that
// took; and all the same now and then where time alone changes what it says.
const PACE_MS = 400;
const PACE_TIMES = 4;
const AGAIN_MS = 10000;

const live = {
  address: document.body.dataset.stream,
  source: null,
  frozen: false,
  // Kinds of events for which nothing was swapped yet.
  waiting: new Set(),
  missed: 0,
  timer: 0,
  busy: false,
  took: 0,
};

function start() {
  if (!live.address || !one("#live")) return;
  one(".live").hidden = false;
  one("#live").addEventListener("click", () => freeze(!live.frozen));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else open();
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  if (!document.hidden) open();
  setInterval(() => {
    if (!document.hidden && !live.frozen && one("[data-live~=clock]")) concern("clock");
  }, AGAIN_MS);
}

function open() {
  if (live.source) return;
  live.source = new EventSource(live.address);
  for (const kind of ["job", "task", "verdict", "worker", "reset"]) {
    live.source.addEventListener(kind, () => concern(kind));
  }
  live.source.addEventListener("open", () => {
    // Nobody tells of what came before it, or while it was away.
    live.waiting.add("reset");
    if (!live.frozen) swapSoon();
    say();
  });
  live.source.addEventListener("error", () => {
    // A stream that was refused is not asked for again: the session may be over.
    if (live.source && live.source.readyState === EventSource.CLOSED) {
      close();
      concern("reset");
      setTimeout(() => { if (!document.hidden) open(); }, AGAIN_MS);
    }
    say();
  });
}

function close() {
  if (live.source) live.source.close();
  live.source = null;
}

function freeze(frozen) {
  live.frozen = frozen;
  if (!frozen) { live.missed = 0; if (live.waiting.size) swapSoon(); }
  say();
}

function concern(kind) {
  live.waiting.add(kind);
  if (live.frozen) { live.missed += 1; say(); } else swapSoon();
}

function say() {
  const button = one("#live");
  const lost = live.source && live.source.readyState !== EventSource.OPEN;
  button.setAttribute("aria-pressed", String(!live.frozen));
  button.dataset.state = live.frozen ? "frozen" : lost ? "lost" : "live";
  button.textContent = live.frozen ? "frozen" : "live";
  button.title = live.frozen ? "go on, and show what came meanwhile" : "freeze what is shown";
  const came = live.missed === 1 ? "1 change meanwhile" : `${live.missed} changes meanwhile`;
  one("#meanwhile").textContent = live.frozen ? (live.missed ? came : "") : lost ? "not connected" : "";
}

function swapSoon() {
  if (!live.timer && !live.busy) live.timer = setTimeout(swap, Math.max(PACE_MS, PACE_TIMES * live.took));
}

async function swap() {
  live.timer = 0;
  if (live.frozen || document.hidden) return;
  live.busy = true;
  const kinds = new Set(live.waiting);
  const began = performance.now();
  live.waiting.clear();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected || answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!live.frozen) all("[data-live]").forEach((old) => replace(old, fresh, kinds));
    else kinds.forEach((kind) => live.waiting.add(kind));
  } catch {
    // Not now: with the next event, or when the page is asked for by hand.
    setTimeout(() => concern("reset"), AGAIN_MS);
  } finally {
    live.busy = false;
    live.took = performance.now() - began;
    if (live.waiting.size) swapSoon();
  }
}

function concerns(element, kinds) {
  const own = element.dataset.live.split(" ");
  return own.includes("*") || kinds.has("reset") || own.some((kind) => kinds.has(kind));
}

function replace(old, fresh, kinds) {
  // Within another one that was swapped already.
  if (!old.isConnected || !concerns(old, kinds)) return;
  const found = fresh.getElementById(old.id);
  if (!found) return;
  const next = document.importNode(found, true);
  keep(old, next);
  delete old.dataset.changed;
  if (old.isEqualNode(next)) return;
  const focused = old.contains(document.activeElement) ? place(document.activeElement) : "";
  if (old.id !== "as-of") next.dataset.changed = "";
  old.replaceWith(next);
  dress(next);
  if (focused) { const again = one(focused, next); if (again) again.focus({ preventScroll: true }); }
}

// By what something is found again in the same part of a fresh page.
function place(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const name = element.tagName.toLowerCase();
  for (const attribute of ["href", "value", "name", "data-key"]) {
    const value = element.getAttribute(attribute);
    if (value) return `${name}[${attribute}="${CSS.escape(value)}"]`;
  }
  if (name === "summary" && element.parentElement.dataset.key) {
    return `details[data-key="${CSS.escape(element.parentElement.dataset.key)}"] > summary`;
  }
  return "";
}

function keep(old, next) {
  all("details", next).forEach((details, index) => {
    const key = details.dataset.key;
    const before = key ? one(`details[data-key="${CSS.escape(key)}"]`, old) : all("details", old)[index];
    if (before) details.open = before.open;
  });
  for (const box of all("input[type=checkbox]:checked", old)) {
    const same = all("input[type=checkbox]", next).find((each) => each.name === box.name && each.value === box.value);
    if (same) same.checked = true;
  }
  // What the script shows, and was hidden where there is none.
  all(".copy, .tick-all", next).forEach((button) => { button.hidden = false; });
}

function dress(root) {
  all(".copy", root).forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  });
  all(".tick-all", root).forEach((box) => {
    box.hidden = false;
    box.addEventListener("change", () => {
      all("input[type=checkbox][name=job]", box.closest("form")).forEach((each) => { each.checked = box.checked; });
      count(box.closest("form"));
    });
  });
  all("form.ticks", root).forEach((form) => form.addEventListener("change", () => count(form)));
  all("form.ticks", root).forEach(count);
  all("form[data-drop]", root).forEach(drop);
}

function count(form) {
  const said = one(".ticked", form);
  if (said) said.textContent = `${all("input[type=checkbox][name=job]:checked", form).length} ticked`;
}

async function copy(button) {
  const code = one("code", button.parentElement);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
  } catch {
    // Without TLS there is no clipboard: it is marked, for the keyboard.
    getSelection().selectAllChildren(code);
    button.textContent = "marked";
  }
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}

// A form with data-drop="/where" that has a file input, a progress and an output: files
// are sent one after the other, each as the body, and the answer says where it is shown.
function drop(form) {
  const input = one("input[type=file]", form);
  const over = (is) => (event) => { event.preventDefault(); form.classList.toggle("over", is); };
  form.addEventListener("dragover", over(true));
  form.addEventListener("dragleave", over(false));
  form.addEventListener("drop", (event) => { over(false)(event); send(form, [...event.dataTransfer.files]); });
  form.addEventListener("submit", (event) => {
    if (!input.files.length) return;
    event.preventDefault();
    send(form, [...input.files]);
  });
}

async function send(form, files) {
  const said = one("output", form);
  let last = "";
  for (const [index, file] of files.entries()) {
    const name = file.name.length > 80 ? `${file.name.slice(0, 79)}…` : file.name;
    said.textContent = `${name} (${index + 1} of ${files.length})`;
    try {
      last = await sendOne(form, file);
    } catch (error) {
      said.textContent = `${name}: ${error.message}`;
      return;
    }
  }
  if (last) location.assign(last);
}

function sendOne(form, file) {
  const request = new XMLHttpRequest();
  const bar = one("progress", form);
  const query = new URLSearchParams(new FormData(form));
  for (const name of ["csrf", one("input[type=file]", form).name]) query.delete(name);
  query.set("name", file.name);
  bar.hidden = false;
  request.upload.addEventListener("progress", (event) => { bar.max = event.total; bar.value = event.loaded; });
  return new Promise((resolve, reject) => {
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.getResponseHeader("Location") || "");
      else reject(new Error(message(request)));
    });
    request.addEventListener("error", () => reject(new Error("the connection broke; send it again")));
    request.open("POST", `${form.dataset.drop}?${query}`);
    request.setRequestHeader("X-Assay-Form", one("input[name=csrf]", form).value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
}

function message(request) {
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  const said = one(".messages", page);
  return said ? said.textContent.trim() : `refused with ${request.status}`;
}

document.addEventListener("keydown", (event) => {
  const typing = /^(input|textarea|select)$/i.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey;
  if (event.key === "/" && !typing && one("#q")) { event.preventDefault(); one("#q").focus(); }
});

dress(document);
start();
