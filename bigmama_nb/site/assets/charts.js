"use strict";
// A page is whole without this: it draws the charts of which there are tables, and pictures where they are to be sent.
const ink = getComputedStyle(document.body).color;
const draw = place => {
  const spec = JSON.parse(document.getElementById(place.dataset.chart).textContent);
  delete spec.$schema;
  spec.width = "container";
  spec.config = { background: "transparent", view: { stroke: null }, axis: { labelColor: ink, titleColor: ink, gridOpacity: 0.25 } };
  // Expressions are interpreted, so that the page's policy needs to allow no evaluation of texts.
  // Errors alone are told: a chart without suspect days has an empty layer, of which it would warn.
  const options = { mode: "vega-lite", ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: false, logLevel: 1 };
  window.vegaEmbed(place, spec, options)
    .then(() => {
      const picture = place.nextElementSibling;
      if (picture && picture.tagName === "IMG") picture.hidden = true;
      const legend = place.parentElement.querySelector(".legend[hidden]");
      if (legend) legend.hidden = false;
    })
    .catch(error => { place.textContent = `The chart cannot be drawn: ${error.message}`; });
};
// Only what comes into view: a report may have dozens.
const seen = new IntersectionObserver(found => {
  for (const one of found) if (one.isIntersecting) { seen.unobserve(one.target); draw(one.target); }
}, { rootMargin: "400px" });
for (const place of document.querySelectorAll("[data-chart]")) seen.observe(place);
