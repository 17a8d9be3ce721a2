'use strict';
// Charts take their colours from the page: at the start, when light and dark change, and for printing.
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function template() {
  const axis = {gridcolor: colour('--rule'), zerolinecolor: colour('--rule'), linecolor: colour('--rule'), automargin: true};
  return {layout: {
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', xaxis: axis, yaxis: axis,
    font: {color: colour('--ink'), family: getComputedStyle(document.body).fontFamily, size: 12},
    colorway: ['#4a7fd4', '#d98324', '#2f9e6e', '#a463bf', '#cc5a4e'],
    legend: {orientation: 'h', y: -0.28}, hoverlabel: {align: 'left'},
  }};
}
const drawn = [];
for (const box of document.querySelectorAll('.chart')) {
  const figure = JSON.parse(document.getElementById(box.dataset.figure).textContent);
  figure.layout.template = template();
  Plotly.newPlot(box, figure.data, figure.layout, {responsive: true, displayModeBar: false});
  drawn.push(box);
}
const repaint = () => drawn.forEach(box => Plotly.relayout(box, {template: template()}));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
matchMedia('print').addEventListener('change', repaint);
