// Sends each chosen photo or clip by itself, with its own progress; without this module the form still works.

import { csrfToken } from "./app.js";

const form = document.getElementById("upload");
const drop = form.querySelector("[data-drop]");
const results = document.getElementById("results");
const words = form.dataset;
let queue = Promise.resolve();

function line(name) {
  const item = document.createElement("li");
  item.className = "result";
  const title = Object.assign(document.createElement("span"), { className: "result-name", textContent: name });
  const word = Object.assign(document.createElement("span"), { className: "state quiet" });
  const bar = Object.assign(document.createElement("progress"), { max: 1, value: 0 });
  bar.setAttribute("aria-label", name);
  item.append(title, word, bar);
  return { item, word, bar };
}

function icon(name) {
  const drawing = document.querySelector("[data-drop] > .icon").cloneNode(true);
  const use = drawing.querySelector("use");
  use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#${name}`));
  return drawing;
}

function fail(row, sentence) {
  row.bar.remove();
  row.word.className = "state alert";
  row.word.replaceChildren(icon("failed"), sentence);
}

function objection(file, index) {
  if (index >= Number(words.maxFiles)) return words.tooMany;
  if (file.size > Number(words.maxMb) * 1024 * 1024) return words.tooBig;
  if (file.type && !/^(image|video)\//.test(file.type)) return words.noImage;
  return "";
}

function send(file, row) {
  return new Promise((resolve) => {
    const body = new FormData();
    body.append("files", file, file.name || "photo.jpg");
    body.append("subject", form.elements.subject.value);
    if (form.elements.again) body.append("again", form.elements.again.value);
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("X-CSRFToken", csrfToken());
    request.setRequestHeader("X-Requested-With", "fetch");
    request.upload.addEventListener("progress", (event) => {
      row.bar.value = event.loaded / (event.total || 1);
      row.word.textContent = event.loaded < event.total ? words.sending : words.checking;
    });
    request.addEventListener("load", () => show(request, row));
    request.addEventListener("error", () => fail(row, words.lost));
    request.addEventListener("loadend", resolve);
    request.send(body);
  });
}

function show(request, row) {
  const answer = new DOMParser().parseFromString(request.responseText, "text/html");
  const items = [...answer.querySelectorAll("li.result")];
  if (items.length) row.item.replaceWith(...items);
  else fail(row, words.refused);
}

function take(files) {
  const rows = [...files].map((file) => line(file.name));
  results.prepend(...rows.map((row) => row.item));
  [...files].forEach((file, index) => {
    const row = rows[index];
    const sentence = objection(file, index);
    if (sentence) fail(row, sentence);
    else queue = queue.then(() => send(file, row));
  });
}

for (const input of form.querySelectorAll('input[type="file"]')) {
  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
}

for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
// Enter in the subject's field has nothing to send: photos and clips go as soon as they are chosen.
form.addEventListener("submit", (event) => event.preventDefault());
