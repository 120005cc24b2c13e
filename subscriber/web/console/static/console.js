// What the console does better with a script. Every page works without it.
"use strict";

// The platform's gateway demands its token beside the session's cookie for everything that changes something; a form
// alone cannot carry it. Where that cookie is, forms are sent from here.
function gatewayToken() {
  const found = document.cookie.split("; ").find((one) => one.startsWith("XSRF-TOKEN="));
  return found ? decodeURIComponent(found.slice("XSRF-TOKEN=".length)) : "";
}

// The page that the answer to a form is; null if none came.
async function answered(form, token) {
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { "X-XSRF-TOKEN": token, Accept: "text/html" },
      body: new URLSearchParams(new FormData(form)),
    });
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return null;
  }
}

function tellNothingIsKnown(form) {
  const told = document.createElement("p");
  told.setAttribute("role", "alert");
  told.textContent = "No answer came: load this page anew to see whether it was done.";
  form.append(told);
}

let replaced = false; // is what is shown the answer to a form, put in place of the page it stood on?

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const token = gatewayToken();
  for (const button of form.querySelectorAll("button")) {
    setTimeout(() => { button.disabled = true; }); // once is enough
  }
  if (form.method !== "post" || !token) return;
  event.preventDefault();
  const page = await answered(form, token);
  if (!page) return tellNothingIsKnown(form);
  history.pushState(null, "", form.action);
  document.title = page.title;
  document.body.replaceWith(page.body);
  replaced = true;
  document.getElementById("content").focus();
});

// Whoever comes back to a page by the browser's history may press again.
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button:disabled")) button.disabled = false;
});
window.addEventListener("popstate", () => { if (replaced) location.reload(); });

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

// The live tail. Each answer ends at once and names where to go on; the browser comes again by itself.
const MOST_ROWS = 200;

function cell(label, ...content) {
  const made = document.createElement("td");
  made.setAttribute("role", "cell");
  made.dataset.label = label;
  const box = document.createElement("div");
  box.append(...content);
  made.append(box);
  return made;
}

// A long name that may break after its dots.
function dotted(name) {
  return name.split(/(?<=\.)/).flatMap((part) => [part, document.createElement("wbr")]);
}

function row(told, root) {
  const made = document.createElement("tr");
  made.setAttribute("role", "row");
  made.className = "new";
  const link = document.createElement("a");
  link.href = root + told.page;
  link.textContent = told.received_at;
  const state = document.createElement("span");
  state.className = `state ${told.state}`;
  state.textContent = told.state;
  made.append(
    cell("Received", link),
    cell("Tenant", told.tenant),
    cell("State", state),
    cell("Topic", ...dotted(told.topic)),
    cell("Source", told.source || "none"),
    cell("Action", told.action || "none"),
  );
  for (const long of [3, 4]) made.children[long].className = "long";
  setTimeout(() => made.classList.remove("new"), 2000);
  return made;
}

function follow(status) {
  const { source, root } = status.dataset;
  const rows = document.getElementById("rows");
  const hold = document.getElementById("hold");
  let cursor = "";
  let stream = null;

  const say = (text) => { if (status.textContent !== text) status.textContent = text; };
  const start = () => {
    const address = new URL(source, location.href);
    if (cursor) address.searchParams.set("cursor", cursor);
    stream = new EventSource(address);
    stream.addEventListener("rows", (event) => {
      cursor = event.lastEventId;
      for (const told of JSON.parse(event.data)) rows.prepend(row(told, root));
      while (rows.children.length > MOST_ROWS) rows.lastElementChild.remove();
      say("New notifications appear as they arrive.");
    });
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CLOSED) say("The connection has ended: load the page anew to go on.");
    });
  };
  hold.hidden = false;
  hold.addEventListener("click", () => {
    if (stream) { stream.close(); stream = null; say("Paused: nothing new is shown."); } else start();
    hold.textContent = stream ? "Pause" : "Go on";
  });
  start();
}

const live = document.getElementById("live");
if (live) follow(live);
