// Shows what /shutdown says. Whatever comes from a client of the service is set as text, never as markup.
"use strict";

const IN_PEACE = 2000, IN_A_STOP = 300, PATIENCE = 2000; // milliseconds
const $ = (id) => document.getElementById(id);

let last = null; // the last answer, and when it came
let lostSince = null;

const many = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const seconds = (s) => s < 1 ? `${Math.round(s * 1000)} ms`
  : s < 120 ? `${s.toFixed(1)} s`
  : s < 7200 ? `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`
  : `${Math.floor(s / 3600)} h ${Math.floor(s / 60 % 60)} min`;
const isStopping = () => last !== null && last.status.seconds_left !== undefined;

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function fill(table, rows, none) {
  const body = $(table).tBodies[0];
  body.replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  }));
  if (rows.length === 0) {
    const cell = element("td", none, "none");
    cell.colSpan = 4;
    body.append(cell);
  }
}

function phaseRow(planned, status, since) {
  const over = status.phases_done.find((done) => done.phase === planned.phase);
  const now = status.phase === planned.phase;
  const took = over ? over.seconds : now ? status.phase_seconds + since : 0;
  const [word, className] = over ? (over.overran ? ["overran", "bad"] : ["done", "done"])
    : now ? (took > planned.budget_seconds && planned.budget_seconds > 0 ? ["overruns", "bad"] : ["now", "now"])
    : ["to come", "to-come"];
  const bar = document.createElement("progress");
  bar.max = Math.max(planned.budget_seconds, 0.001);
  bar.value = took;
  bar.setAttribute("aria-label", `${planned.phase}: ${word}`);
  const text = over || now ? `${seconds(took)} of ${seconds(planned.budget_seconds)}` : seconds(planned.budget_seconds);
  const cell = element("td", "", `bar ${className}`);
  cell.append(bar);
  return [element("td", `${planned.phase} · ${word}`, className), cell, element("td", text, "number")];
}

function causeOf({ kind, signal, reason, server, error }) {
  return { signal: `signal ${signal}`, requested: `requested: ${reason}`, server_failed: `server ${server} failed: ${error}`,
    start_failed: `start failed: ${error}` }[kind];
}

function story(status) {
  if (status.cause) return `Stopping by ${causeOf(status.cause)}. ${held(status)}`;
  if (status.phase === "starting") return "Starting, not ready yet.";
  return `Ready. A stop would take ${seconds(status.grace_period_seconds)} at the most.`;
}

function held(status) {
  const waits = { drain: `Waits for ${many(status.requests_in_flight, "request")}, ${many(status.connections, "connection")}.`,
    lame_duck: "Everything is still served while balancers look away.",
    background: `Waits for ${many(status.tasks_running, "background task")}.`,
    release: "Hooks close what was opened.", flush: "Telemetry leaves, and a last scrape." };
  return waits[status.phase] ?? "";
}

function show() {
  if (last === null) return;
  const { status, at } = last, since = (lostSince ?? performance.now()) / 1000 - at / 1000;
  document.title = `${status.phase} · ${status.version ?? "winddown"}`;
  $("phase").textContent = status.phase;
  $("phase").className = status.cause ? "now" : status.phase === "running" ? "done" : "to-come";
  $("version").textContent = status.version ? `version ${status.version}` : "";
  $("story").textContent = story(status);
  $("left").hidden = !isStopping();
  if (isStopping()) $("countdown").textContent = seconds(Math.max(status.seconds_left - since, 0));
  fill("phases", status.plan.map((planned) => phaseRow(planned, status, since)), "");

  const more = status.requests_in_flight - status.requests.length;
  $("in-flight").textContent = `${many(status.requests_in_flight, "request")}, ${many(status.connections, "connection")}`
    + (more > 0 ? `; the ${status.requests.length} oldest` : "");
  fill("requests", status.requests.map((request) => [
    element("td", `${request.method} ${request.path}`), element("td", request.peer), element("td", request.id),
    element("td", seconds(request.age_seconds + since), "number")]), "none");

  $("hooks-count").textContent = `${status.hooks_running.length} at work, ${status.hooks_done.length} over`;
  fill("hooks", [
    ...status.hooks_running.map((hook) => [element("td", hook.hook), element("td", hook.phase),
      element("td", seconds(hook.age_seconds + since), "number"),
      element("td", `at work, ${seconds(Math.max(hook.seconds_left - since, 0))} left`, "now")]),
    ...status.hooks_done.map((hook) => [element("td", hook.hook), element("td", hook.phase),
      element("td", seconds(hook.seconds), "number"),
      element("td", hook.message ? `${hook.outcome}: ${hook.message}` : hook.outcome, hook.outcome === "ok" ? "done" : "bad")]),
  ], "none has begun");

  $("tasks-count").textContent = `${status.tasks_running} running`;
  fill("tasks", [
    ...status.tasks.map((task) => [element("td", task.name), element("td", seconds(task.age_seconds + since), "number")]),
    ...status.task_panics.map((panic) => [element("td", panic.name), element("td", `panicked: ${panic.message}`, "bad")]),
  ], "none");
}

async function ask() {
  try {
    const answer = await fetch("shutdown", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    last = { status: await answer.json(), at: performance.now() };
    lostSince = null;
    $("lost").hidden = true;
  } catch {
    lostSince ??= performance.now();
    const seen = last === null ? "" : isStopping() ? ", in a stop: the process has exited, or answers nobody"
      : ": the process is gone, or cannot be reached";
    $("lost").textContent = `No answer since ${new Date().toLocaleTimeString()}${seen}. What is shown was the last.`;
    if ($("lost").hidden) $("lost").hidden = false;
  }
  show();
  setTimeout(ask, isStopping() ? IN_A_STOP : IN_PEACE);
}

setInterval(() => { if (isStopping()) show(); }, 100);
ask();
