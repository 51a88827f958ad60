// Plotly figures cannot read CSS variables: give them the colours of the page, now and when they change.
(function () {
  "use strict";
  const query = window.matchMedia("(prefers-color-scheme: dark)");
  function paint() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    for (const figure of document.querySelectorAll(".js-plotly-plot")) {
      Plotly.relayout(figure, {
        "font.color": read("--soft"),
        "hoverlabel.bgcolor": read("--card"),
        "hoverlabel.font.color": read("--text"),
        "hoverlabel.bordercolor": read("--line"),
      });
    }
  }
  paint();
  query.addEventListener("change", paint);
})();
