"use strict";
(() => {
  const json = (id) => JSON.parse(document.getElementById(id).textContent);

  // --- Charts: one after the other when the page is idle, so that text and tables come first.
  const specs = json("data-charts");
  const waiting = [...document.querySelectorAll("[data-chart]")];
  // A page that is never idle, as one that is captured, is drawn all the same: each chart has a deadline.
  const later = (work) =>
    window.requestIdleCallback ? requestIdleCallback(work, { timeout: 100 }) : setTimeout(work, 20);
  const options = { renderer: "svg", actions: false, tooltip: { theme: "custom" } };

  let drawing = Promise.resolve();

  async function drawNext() {
    const place = waiting.shift();
    if (!place) return;
    try {
      const { view } = await window.vegaEmbed(place, specs[place.dataset.chart], options);
      // The width, known only now, sets how many columns a legend has, and so the height; so does any later width.
      await view.resize().runAsync();
      window.addEventListener("resize", () => later(() => view.resize().runAsync()));
    } catch (error) {
      place.textContent = "This chart could not be drawn: " + error.message;
      console.error(error);
    }
  }

  // One at a time, whoever asks for it.
  function draw() {
    drawing = drawing.then(drawNext).then(() => {
      if (!waiting.length) document.documentElement.dataset.charts = "done";
    });
    return drawing;
  }

  function drawWhenIdle() {
    draw().then(() => waiting.length && later(drawWhenIdle));
  }

  async function drawAll() {
    while (waiting.length) await draw();
    await drawing;
  }
  later(drawWhenIdle);

  // --- Table: sort by a heading, filter by words.
  const table = document.getElementById("rows");
  const body = table.tBodies[0];
  const filter = document.getElementById("filter");
  const count = document.getElementById("count");
  const lines = [...body.rows].map((line, index) => ({ line, index, text: line.textContent.toLowerCase() }));

  function valueOf(entry, column) {
    const cell = entry.line.cells[column];
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    return cell.textContent === "–" ? null : cell.textContent;
  }

  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  }

  function sortBy(column, heading) {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    lines.sort((a, b) => {
      const [x, y] = [valueOf(a, column), valueOf(b, column)];
      const order = compare(x, y);
      return x === null || y === null ? order : (down ? -order : order) || a.index - b.index;
    });
    body.append(...lines.map((entry) => entry.line));
  }

  function narrow() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const entry of lines) {
      entry.line.hidden = !words.every((word) => entry.text.includes(word));
      shown += !entry.line.hidden;
    }
    count.textContent = `${shown} of ${lines.length} rows`;
  }

  for (const button of table.querySelectorAll("[data-sort]"))
    button.addEventListener("click", () => sortBy(Number(button.dataset.sort), button.closest("th")));
  filter.addEventListener("input", narrow);
  narrow();

  // --- Copies: the rows now shown, in the order now shown, every figure in full.
  const rows = json("data-rows");

  function cell(value) {
    if (value === null) return "";
    if (typeof value !== "string") return String(value);
    // A spreadsheet runs text that begins like a formula.
    const safe = /^[=+\-@\t\r]/.test(value) ? "'" + value : value;
    return /[",\n\r]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  }

  function csv(shown) {
    const names = Object.keys(rows[0]);
    return [names.join(","), ...shown.map((row) => names.map((name) => cell(row[name])).join(","))].join("\n") + "\n";
  }

  async function copy(button) {
    const shown = lines.filter((entry) => !entry.line.hidden).map((entry) => rows[entry.index]);
    const text = button.dataset.copy === "csv" ? csv(shown) : JSON.stringify(shown, null, 1);
    try {
      await navigator.clipboard.writeText(text);
      count.textContent = `Copied ${shown.length} rows.`;
    } catch {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
      link.download = `mlbench-rows.${button.dataset.copy}`;
      link.click();
      count.textContent = `Saved ${shown.length} rows: this browser lets no page copy.`;
    }
  }

  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));

  // --- Columns: at first those that most readers need; the others by a box each.
  const headings = [...table.tHead.rows[0].cells];
  const chooser = document.getElementById("columns");

  function chooseColumns() {
    const style = document.createElement("style");
    const hidden = new Set(headings.flatMap((heading, column) => ("rare" in heading.dataset ? [column] : [])));
    const apply = () => {
      const chosen = [...hidden].map((column) => `#rows tr > :nth-child(${column + 1})`);
      style.textContent = chosen.length ? `${chosen.join(",")}{display:none}` : "";
    };
    headings.forEach((heading, column) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = !hidden.has(column);
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(column);
        else hidden.add(column);
        apply();
      });
      label.append(box, " " + heading.querySelector("button").textContent);
      chooser.append(label);
    });
    document.head.append(style);
    chooser.parentElement.hidden = false;
    apply();
  }
  if (chooser) chooseColumns();

  // --- Print: what is not drawn yet is drawn first; closed details are part of the paper too.
  const printing = document.getElementById("print");
  if (printing)
    printing.addEventListener("click", async () => {
      await drawAll();
      window.print();
    });
  window.addEventListener("beforeprint", drawAll);
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
})();
