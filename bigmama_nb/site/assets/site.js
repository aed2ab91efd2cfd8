"use strict";
// The pages are whole without this; it copies commands, filters runs and draws charts.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = document.getElementById(button.dataset.copy);
    try { await navigator.clipboard.writeText(code.textContent); } catch {
      const range = document.createRange(); range.selectNodeContents(code);
      const chosen = getSelection(); chosen.removeAllRanges(); chosen.addRange(range); document.execCommand("copy");
    }
    button.textContent = "Copied";
  });
}

// How long ago: a page that was made last night cannot know when it is read.
const ago = new Intl.RelativeTimeFormat("en", { numeric: "always" });
for (const time of document.querySelectorAll("time[datetime]")) {
  const minutes = (Date.parse(time.dateTime) - Date.now()) / 60000;
  const [unit, size] = [["day", 1440], ["hour", 60], ["minute", 1]].find(([, size]) => Math.abs(minutes) >= size) ?? ["minute", 1];
  time.textContent += ` (${ago.format(Math.round(minutes / size), unit)})`;
}

const filters = document.getElementById("filters");
if (filters) {
  const sets = JSON.parse(document.getElementById("sets").textContent).map(both => both.map(names => new Set(names)));
  const rows = [...document.querySelectorAll("#runs tr[data-n]")];
  const bodies = [...document.querySelectorAll("#runs tbody")];
  const apply = () => {
    const want = Object.fromEntries(new FormData(filters));
    let count = 0;
    for (const row of rows) {
      const [games, metrics] = sets[row.dataset.n];
      const fits = (!want.status || row.dataset.s === want.status) && (!want.game || games.has(want.game))
        && (!want.metric || metrics.has(want.metric)) && (!want.pipeline || row.dataset.p.split(" ").includes(want.pipeline))
        && (!want.date || (row.dataset.f <= want.date && want.date <= row.dataset.t));
      row.hidden = !fits;
      count += fits;
    }
    for (const body of bodies) body.hidden = !body.querySelector("tr[data-n]:not([hidden])");
    const shown = document.getElementById("shown");
    shown.textContent = `${count.toLocaleString("en")} ${count === 1 ? shown.dataset.noun.replace(/^runs$/, "run") : shown.dataset.noun}`;
    for (const link of document.querySelectorAll("[data-filtered]")) link.hash = location.hash;
  };
  const restore = () => {
    const told = new URLSearchParams(location.hash.slice(1));
    for (const field of filters.elements) if (field.name) {
      const value = told.get(field.name) ?? "";
      field.value = value;
      // A month without runs of a game shows none of them, not all others.
      if (field.options && field.value !== value) { field.add(new Option(value, value)); field.value = value; }
    }
    apply();
  };
  const keep = () => {
    const told = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value));
    history.replaceState(null, "", `#${told}`);
    apply();
  };
  filters.addEventListener("change", keep);
  filters.addEventListener("reset", () => setTimeout(keep));
  filters.addEventListener("submit", event => event.preventDefault());
  addEventListener("hashchange", restore);
  filters.hidden = false;
  restore();
}
