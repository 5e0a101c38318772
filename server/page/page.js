// The graph of a window as a table. Everything shown comes from GET api/v1/graph; text is set as text, never as markup.
"use strict";

const REFRESH_MS = 10_000;
const SHOWN_EDGES = 2000;
const form = document.getElementById("ask");
const said = document.getElementById("said");
const rows = document.getElementById("edges");
const fields = ["at", "window", "search", "view"];
let asked = 0;

function query() {
  const given = new URLSearchParams();
  for (const name of fields) {
    const value = document.getElementById(name).value.trim();
    if (value) given.set(name, value);
  }
  return given;
}

function number(value, digits = 4) {
  return value === null || value === undefined ? "" : Number(value.toPrecision(digits)).toLocaleString("en");
}

function row(edge) {
  const { ipc, trace, network } = edge.evidence;
  const calls = ipc ?? trace;
  const cells = [
    edge.source,
    edge.target,
    edge.protocol,
    edge.layers.join(", "),
    number(calls?.calls_per_second),
    calls?.errors ? `${number(calls.error_ratio * 100, 3)} %` : "",
    number(calls?.latency_ms.mean),
    network ? number(network.bytes_sent + network.bytes_received, 6) : "",
    edge.via.join(" → "),
  ];
  const line = document.createElement("tr");
  cells.forEach((text, at) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    if (at >= 4 && at <= 7) cell.className = "number";
    if (at === 5 && text) cell.classList.add("bad");
    line.append(cell);
  });
  return line;
}

function show(graph) {
  const { window: used, totals, edges } = graph;
  const counted = `${totals.nodes} services, ${totals.edges} edges, ${used.from} to ${used.to}`;
  if (!edges.length) {
    said.textContent = `Nothing was seen from ${used.from} to ${used.to}. Another time or a longer window may show more.`;
  } else if (totals.edges > SHOWN_EDGES) {
    said.textContent = `${counted}; the first ${SHOWN_EDGES} are shown`;
  } else {
    said.textContent = counted;
  }
  rows.replaceChildren(...edges.slice(0, SHOWN_EDGES).map(row));
}

async function ask() {
  const mine = ++asked;
  const given = query();
  document.getElementById("json").href = `api/v1/graph?${given}`;
  try {
    const response = await fetch(`api/v1/graph?${given}`);
    const answer = await response.json();
    if (mine !== asked) return;
    if (response.ok) {
      show(answer);
    } else {
      said.textContent = answer.detail ?? response.statusText;
      rows.replaceChildren();
    }
  } catch (error) {
    if (mine === asked) said.textContent = `The server does not answer (${error.message}).`;
  }
}

for (const [name, value] of new URLSearchParams(location.search)) {
  if (fields.includes(name)) document.getElementById(name).value = value;
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  history.replaceState(null, "", `?${query()}`);
  ask();
});
setInterval(() => {
  const live = document.getElementById("live").checked && !document.hidden;
  if (live && document.getElementById("at").value.trim().startsWith("now")) ask();
}, REFRESH_MS);
ask();
