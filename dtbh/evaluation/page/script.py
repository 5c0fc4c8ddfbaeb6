"""The few lines of script in the report page: tabs, players, tables that sort. Without them all stands there too.

The page asks no network; a sound is played from its own data address by one player.
"""

from __future__ import annotations

SCRIPT = r"""
"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

const tabs = all("nav a"), panels = tabs.map((tab) => document.querySelector(tab.hash));
const choose = (index, focus) => {
  panels.forEach((panel, i) => { panel.hidden = i !== index; });
  tabs.forEach((tab, i) => {
    tab.setAttribute("aria-selected", i === index);
    tab.tabIndex = i === index ? 0 : -1;
  });
  const bar = tabs[index].parentElement, over = tabs[index].offsetLeft - bar.offsetLeft;
  bar.scrollLeft = over - (bar.clientWidth - tabs[index].offsetWidth) / 2;
  if (focus) tabs[index].focus();
};
document.querySelector("nav").setAttribute("role", "tablist");
document.body.classList.add("tabbed");
tabs.forEach((tab, index) => {
  tab.id = `tab-${panels[index].id}`;
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", panels[index].id);
  panels[index].setAttribute("role", "tabpanel");
  panels[index].setAttribute("aria-labelledby", tab.id);
  tab.addEventListener("click", (event) => {
    event.preventDefault();
    choose(index);
    history.replaceState(null, "", tab.hash);
  });
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: -1 }[event.key];
    if (event.key === " ") { event.preventDefault(); tab.click(); }
    if (step === undefined) return;
    event.preventDefault();
    const next = (step + tabs.length) % tabs.length;
    choose(next, true);
    history.replaceState(null, "", tabs[next].hash);
  });
});
const named = () => {
  const index = panels.findIndex((panel) => `#${panel.id}` === location.hash);
  if (index >= 0) choose(index);
};
choose(0);
named();
addEventListener("hashchange", named);

const player = document.createElement("audio");
player.hidden = true;
document.body.append(player);
let playing = null;
const stop = () => {
  player.pause();
  if (playing) { playing.setAttribute("aria-pressed", "false"); playing.style.removeProperty("--played"); }
  playing = null;
};
const follow = () => {
  if (!playing) return;
  if (player.duration) playing.style.setProperty("--played", `${100 * player.currentTime / player.duration}%`);
  requestAnimationFrame(follow);
};
player.addEventListener("ended", stop);
player.addEventListener("error", stop);
all(".sound").forEach((sound) => {
  const audio = sound.querySelector("audio"), source = audio.getAttribute("src");
  const button = document.createElement("button");
  const said = sound.parentElement.querySelector(".said");
  button.type = "button";
  button.setAttribute("aria-label", `play${said ? `: ${said.textContent}` : ""}`);
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const again = playing === button;
    stop();
    if (again) return;
    playing = button;
    button.setAttribute("aria-pressed", "true");
    player.src = source;
    player.play().then(follow, stop);
  });
  audio.replaceWith(button);
});

all(".sortable").forEach((table) => {
  const heads = all("thead th", table), body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === (column ? "descending" : "ascending") ? !column : Boolean(column);
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].textContent.replaceAll(",", "");
      const order = (a, b) => column ? (parseFloat(value(a)) || 0) - (parseFloat(value(b)) || 0)
        : value(a).localeCompare(value(b));
      body.append(...[...body.rows].sort((a, b) => down ? order(b, a) : order(a, b)));
    });
  });
});
"""
