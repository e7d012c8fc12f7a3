
// A failing request tells its story when it is pointed at or has the focus; what it says is set as text.
const story = document.getElementById("story");
const tell = ({ target }) => {
  const told = target.closest?.(".told");
  if (told) story.textContent = told.getAttribute("aria-label");
};
addEventListener("pointerover", tell);
addEventListener("focusin", tell);
addEventListener("keydown", ({ key }) => {
  if (key === "Escape") story.textContent = "";
});
