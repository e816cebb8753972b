/**
 * The page's address names the selected tab and the task that is open on it, as in `?tab=annotate&task=41`, so that reload,
 * back and a link to a colleague lead there.
 * @typedef {{tab: string, task: number | null}} Place
 */

const FIRST = "run";

/** The task that is open on a tab. @type {Map<string, number | null>} */
const tasks = new Map();
/** How a tab opens a task. @type {Map<string, (task: number) => void>} */
const openers = new Map();
/** The tasks to open on tabs that are not built yet. @type {Map<string, number>} */
const wishes = new Map();
/** Where the address leads, until that tab is there. @type {Place | null} */
let wanted = null;
let selected = FIRST;

/** Select the tab that the address names, and follow the reader from there. */
export function followAddress() {
  wanted = read();
  new MutationObserver(() => {
    if (wanted && buttonOf(wanted.tab)) lead(wanted);
    else if (!wanted) follow();
  }).observe(document.body, { subtree: true, childList: true, attributeFilter: ["aria-selected"] });
  // Whoever chooses a tab before the one that is named has come has changed their mind.
  document.addEventListener("click", ({ target, isTrusted }) => {
    if (isTrusted && target instanceof Element && target.closest("[role=tab]")) wanted = null;
  }, { capture: true });
  window.addEventListener("popstate", () => lead(read()));
}

/**
 * A task was opened on a tab, or the last one there was closed.
 * @param {string} tab
 * @param {number | null} task
 */
export function noteTask(tab, task) {
  tasks.set(tab, task);
  if (!wanted) write();
}

/**
 * Register how a tab opens a task; one that the address names already is opened at once.
 * @param {string} tab
 * @param {(task: number) => void} open
 * @returns {boolean} whether there was one
 */
export function openTasksBy(tab, open) {
  openers.set(tab, open);
  const wish = wishes.get(tab);
  wishes.delete(tab);
  if (wish !== undefined) open(wish);
  return wish !== undefined;
}

/** @param {Place} place */
function lead({ tab, task }) {
  wanted = null;
  selected = tab;
  const button = buttonOf(tab);
  if (button?.getAttribute("aria-selected") !== "true") button?.click();
  if (task === null || task === tasks.get(tab)) return;
  tasks.set(tab, task);
  const open = openers.get(tab);
  if (open) open(task);
  else wishes.set(tab, task);
}

function follow() {
  const id = document.querySelector("[role=tab][aria-selected=true]")?.getAttribute("data-tab-id");
  const tab = id?.replace(/-tab$/, "");
  if (!tab || tab === selected) return;
  selected = tab;
  write();
}

function write() {
  const url = new URL(location.href);
  const task = tasks.get(selected) ?? null;
  url.searchParams.delete("tab");
  url.searchParams.delete("task");
  if (selected !== FIRST) url.searchParams.set("tab", selected);
  if (task !== null) url.searchParams.set("task", String(task));
  if (url.href === location.href) return;
  // The first task of a tab is no step of its own.
  const here = read();
  const fills = here.tab === selected && here.task === null;
  history[fills ? "replaceState" : "pushState"](history.state, "", url);
}

/** @returns {Place} */
function read() {
  const given = new URL(location.href).searchParams;
  const [tab, task] = [given.get("tab") ?? "", given.get("task") ?? ""];
  return { tab: /^[a-z]+$/.test(tab) ? tab : FIRST, task: /^[1-9]\d{0,15}$/.test(task) ? Number(task) : null };
}

/**
 * @param {string} tab
 * @returns {HTMLElement | null}
 */
function buttonOf(tab) {
  return document.querySelector(`[role=tab]:is([data-tab-id="${tab}"], [data-tab-id="${tab}-tab"])`);
}
