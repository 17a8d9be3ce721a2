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

for (const button of document.querySelectorAll('.trials th button')) {
  button.addEventListener('click', () => {
    const head = button.closest('th'), body = head.closest('table').tBodies[0];
    const down = head.getAttribute('aria-sort') === 'ascending';
    for (const other of head.parentElement.cells) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const key = row => row.cells[head.cellIndex].dataset.key ?? row.cells[head.cellIndex].textContent.trim();
    const order = (a, b) => {
      const x = key(a), y = key(b);
      if (!x || !y) return !x - !y;  // unknown values come last in both orders
      const difference = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return down ? -difference : difference;
    };
    body.append(...[...body.rows].sort(order));
  });
}
