// The queries of this visit, newest first; each can be run again.

import { $, make } from "./service.js";

const MOST = 10, KEPT = "dtbh-visited";

export const visited = {
  run: () => {}, // a query again, and what it found
  queries: stored(),

  add(query, found) {
    const { item, name, modality, heard, belief, code, vector, weights, preview } = query;
    const one = { query: { item, name, modality, heard, belief, code, vector, weights, preview }, found };
    this.queries = [one, ...this.queries.filter((other) => named(other.query) !== named(query))].slice(0, MOST);
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(this.queries));
    } catch {
      // full, or a browser that keeps nothing: the list lives as long as the page
    }
    this.show(query);
  },

  show(now) {
    $("visited").hidden = !this.queries.length;
    $("visited").querySelector("ul").replaceChildren(...this.queries.map(({ query, found }) => {
      const button = make("button", { type: "button", textContent: named(query), title: named(query), onclick: () => this.run(query, found) });
      if (now && named(now) === named(query)) button.setAttribute("aria-current", "true");
      return make("li", {}, button);
    }));
  },
};

function named({ item, heard, name }) {
  return item ? `like ${item.id}` : heard && heard !== name ? `“${heard}”` : name;
}

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}
