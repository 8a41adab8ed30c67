const form = document.getElementById("ask");
const how = document.getElementById("how");
const summary = document.getElementById("summary");

async function ask() {
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  const started = performance.now();
  const response = await fetch(`/api/flights/summary?${query}`);
  const answer = await response.json();
  summary.replaceChildren();
  if (!response.ok) {
    how.textContent = answer.detail;
    return;
  }
  const took = Math.round(performance.now() - started);
  how.textContent = `cache ${response.headers.get("x-cache")}, ${took} ms`;
  for (const [name, value] of Object.entries(answer)) {
    const term = document.createElement("dt");
    term.textContent = name.replaceAll("_", " ");
    const detail = document.createElement("dd");
    detail.textContent = value ?? "all";
    summary.append(term, detail);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
ask();
