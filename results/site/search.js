"use strict";
// Searches the cells in cells.js as one types. The view is in the address: q, a
// parameter for each filter, changed and sort.
(() => {
  const data = window.zmqmatrixCells;
  const form = document.getElementById("filters");
  const input = document.getElementById("q");
  const table = document.getElementById("found");
  const body = table.tBodies[0];
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const headers = [...table.tHead.rows[0].cells];
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const fields = 8;
  const page = 200;
  const words = { "not-run": "not run" };

  const cells = [];
  for (let at = 0; at < data.cells.length; at += fields) {
    const [client, feature, outcome, technique, layer, why, day, changed] = data.cells.slice(at, at + fields);
    const [target, implementation, binding, pages] = data.clients[client];
    const [name, group, file] = data.features[feature];
    const cell = {
      order: cells.length,
      target, implementation, binding, group,
      client: target,
      feature: name,
      outcome: data.outcomes[outcome],
      rank: outcome,
      technique: data.techniques[technique],
      layer: data.layers[layer],
      why: data.words[why],
      day: data.days[day],
      changed: changed === 1,
      link: pages + file,
    };
    const word = words[cell.outcome] ?? cell.outcome;
    cell.text = `${data.marks[cell.outcome]} ${word}` + (technique > 0 ? `, with ${cell.technique}` : "");
    cell.all = [target, binding, name, cell.text, cell.outcome, cell.layer, cell.why].join(" ").toLowerCase();
    cells.push(cell);
  }

  const selects = [...form.querySelectorAll("select")];
  for (const select of selects) {
    const known = new Set(cells.map((cell) => cell[select.name]).filter((value) => value !== ""));
    const values = [...known];
    if (select.name === "outcome") values.sort((a, b) => data.outcomes.indexOf(a) - data.outcomes.indexOf(b));
    else if (select.name !== "group") values.sort(collator.compare);
    for (const value of values) select.append(new Option(value, value));
  }

  const sorts = {
    client: (cell) => cell.client,
    binding: (cell) => cell.binding,
    feature: (cell) => cell.feature,
    verdict: (cell) => cell.rank,
    layer: (cell) => cell.layer,
    changed: (cell) => cell.day,
  };

  let sort = "";
  let shown = page;

  const state = () => {
    const parameters = new URLSearchParams();
    if (input.value.trim()) parameters.set("q", input.value.trim());
    for (const select of selects) if (select.value) parameters.set(select.name, select.value);
    if (form.elements.changed.checked) parameters.set("changed", "1");
    if (sort) parameters.set("sort", sort);
    return parameters.toString();
  };

  const restore = () => {
    const parameters = new URLSearchParams(location.search);
    input.value = parameters.get("q") ?? "";
    for (const select of selects) {
      select.value = parameters.get(select.name) ?? "";
      if (select.selectedIndex < 0) select.value = "";
    }
    form.elements.changed.checked = parameters.get("changed") === "1";
    const asked = parameters.get("sort") ?? "";
    sort = Object.hasOwn(sorts, asked.replace(/^-/, "")) ? asked : "";
    shown = page;
    show();
  };

  // While somebody types the address follows; what they settle on is a step that
  // the back button takes back.
  const remember = (step) => {
    const query = state();
    if ("?" + query === (location.search || "?")) return false;
    history[step ? "pushState" : "replaceState"](null, "", query ? "?" + query : location.pathname);
    return true;
  };

  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.textContent = text;
    return made;
  };

  // Where a word begins, that is meant: "ecl" is ECL, and not what "declares". A term
  // that no word begins with may stand anywhere: "segv" is in SIGSEGV.
  const begins = (text, term) => {
    for (let at = text.indexOf(term); at >= 0; at = text.indexOf(term, at + 1)) {
      if (at === 0 || !/[\p{L}\p{N}]/u.test(text[at - 1])) return true;
    }
    return false;
  };
  const meant = (term) => cells.some((cell) => begins(cell.all, term))
    ? (cell) => begins(cell.all, term)
    : (cell) => cell.all.includes(term);

  const found = () => {
    const terms = input.value.toLowerCase().split(/\s+/).filter(Boolean).map(meant);
    const wanted = selects.filter((select) => select.value);
    const changed = form.elements.changed.checked;
    const matching = cells.filter((cell) =>
      (!changed || cell.changed) &&
      wanted.every((select) => cell[select.name] === select.value) &&
      terms.every((holds) => holds(cell)));
    if (sort) {
      const key = sorts[sort.replace(/^-/, "")];
      const way = sort.startsWith("-") ? -1 : 1;
      matching.sort((a, b) => {
        const x = key(a), y = key(b);
        const order = typeof x === "number" ? x - y : collator.compare(x, y);
        return order * way || a.order - b.order;
      });
    }
    return matching;
  };

  const show = () => {
    const matching = found();
    const rows = matching.slice(0, shown).map((cell) => {
      const row = document.createElement("tr");
      const client = element("th", cell.target);
      client.scope = "row";
      const verdict = document.createElement("td");
      const link = element("a", cell.text, `o long o-${cell.outcome}`);
      link.href = cell.link;
      verdict.append(link);
      if (cell.why) verdict.append(" ", element("span", cell.why, "why"));
      row.append(client, element("td", cell.binding), element("td", cell.feature), verdict, element("td", cell.layer), element("td", cell.day));
      return row;
    });
    body.replaceChildren(...rows);
    count.textContent = `${matching.length} of ${cells.length} cells` +
      (matching.length > rows.length ? `, the first ${rows.length} are shown` : "");
    more.hidden = matching.length <= rows.length;
    for (const header of headers) {
      const key = header.dataset.key;
      if (sort.replace(/^-/, "") === key) header.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    }
  };

  const changedView = (step) => {
    shown = page;
    const stepped = remember(step);
    show();
    return stepped;
  };

  for (const header of headers) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const key = header.dataset.key;
      sort = sort === key ? "-" + key : key;
      changedView(true);
    });
  }

  let typing = false; // the newest step is of what is being typed
  input.addEventListener("input", () => {
    if (changedView(!typing)) typing = true;
  });
  input.addEventListener("change", () => { typing = false; });
  input.addEventListener("blur", () => { typing = false; });
  form.addEventListener("change", (event) => { if (event.target !== input) changedView(true); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    input.value = "";
    for (const select of selects) select.value = "";
    form.elements.changed.checked = false;
    sort = "";
    typing = false;
    changedView(true);
    input.focus();
  });
  more.addEventListener("click", () => {
    const from = body.rows.length;
    shown += page;
    show();
    body.rows[from]?.querySelector("a").focus();
  });
  window.addEventListener("popstate", () => { typing = false; restore(); });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const links = [...body.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    const inSearch = document.activeElement === input;
    if (event.key === "ArrowDown" && (inSearch || at >= 0)) {
      event.preventDefault();
      links[Math.min(at + 1, links.length - 1)]?.focus();
    } else if (event.key === "ArrowUp" && at >= 0) {
      event.preventDefault();
      if (at === 0) input.focus();
      else links[at - 1].focus();
    } else if (event.key === "Enter" && inSearch) {
      event.preventDefault();
      links[0]?.focus();
    } else if (event.key === "Escape" && (inSearch || at >= 0)) {
      event.preventDefault();
      if (inSearch && input.value) {
        input.value = "";
        changedView(true);
        typing = false;
      }
      input.focus();
    }
  });

  restore();
})();
