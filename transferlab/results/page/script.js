"use strict";
// Tables that a click on a column's head sorts: up, then down. Cells without a value stay last.
for (const table of document.querySelectorAll("main table")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = head.classList.contains("number");
      const keyed = [...body.rows].map((row) => {
        const cell = row.cells[column];
        const text = cell.textContent;
        return { row, key: numeric ? Number(cell.dataset.value ?? NaN) : text };
      });
      const lacks = (key) => key === "" || Number.isNaN(key);
      keyed.sort((one, other) => {
        if (lacks(one.key) || lacks(other.key)) return lacks(one.key) - lacks(other.key);
        const order = numeric
          ? one.key - other.key
          : one.key.localeCompare(other.key, "en", { numeric: true });
        return down ? -order : order;
      });
      body.append(...keyed.map(({ row }) => row));
    });
  });
}
