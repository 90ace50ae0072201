"use strict";
// Pictures lie in templates, where browsers leave them alone, and are taken out while they are near the window.
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) for (const place of target.querySelectorAll(".stage, .thumb")) {
    const shown = place.querySelector(":scope > img, :scope > .halves");
    if (isIntersecting && !shown) place.prepend(place.querySelector("template").content.cloneNode(true));
    if (!isIntersecting && shown) for (const part of [...place.children]) if (!part.matches("template, i")) part.remove();
    if (isIntersecting && !shown && place.matches(".stage")) begin(place);
  }
}, { rootMargin: "1000px" });

function begin(stage) {
  const slider = stage.querySelector(".split");
  for (const name of ["before", "after"]) {
    const half = document.createElement("div"), image = stage.querySelector(`img.${name}`);
    half.className = `halves ${name}`;
    image.replaceWith(half);
    half.append(image);
  }
  slider.oninput = () => {
    const { width } = stage.getBoundingClientRect(), thumb = 32, part = slider.value / 1000;
    stage.style.setProperty("--at", `${thumb / 2 + part * (width - thumb)}px`); // where the handle is
  };
  slider.oninput();
  stage.onpointerdown = (event) => { if (event.target !== slider) stage.classList.add("held"); };
  stage.onpointerup = stage.onpointercancel = stage.onpointerleave = () => stage.classList.remove("held");
}

// Photos come after this script, some of them perhaps never: a run may be interrupted.
document.addEventListener("DOMContentLoaded", () => {
  const photos = [...document.querySelectorAll("article")], number = (kind) => photos.filter((p) => p.matches(kind)).length;
  const said = [[photos.length, "photos"], [number(".failed"), "failed"], [number(".warned"), "with a warning"], [number(".remarked"), "hardly changed"]];
  document.getElementById("count").textContent = said.filter(([n], k) => n || !k).map(([n, what]) => `${n} ${what}`).join(" · ");
  for (const photo of photos) near.observe(photo);
  document.getElementById("show").onchange = (event) => { document.querySelector("main").dataset.show = event.target.value; };
  document.body.dataset.ready = "yes";
});
