// What a person sees of a page, for tests that open it in a browser.
'use strict';
const visible = (box, style) => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0
  && box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight;

// Contrast as in WCAG 2, of colours as returned by getComputedStyle.
const numbers = colour => colour.match(/[\d.]+/g).map(Number);
function luminance(colour) {
  const [r, g, b] = numbers(colour).map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
}
function behind(element) {
  const colour = getComputedStyle(element).backgroundColor;
  return numbers(colour)[3] === 0 ? behind(element.parentElement) : colour;
}
function contrast(element) {
  const ink = getComputedStyle(element)[element.closest('svg') ? 'fill' : 'color'];
  const [dark, light] = [luminance(ink), luminance(behind(element))].sort((one, other) => one - other);
  return (light + .05) / (dark + .05);
}

function texts(without) {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  for (let node; node = walker.nextNode();)
    if (node.data.trim() && !node.parentElement.closest(without)) found.push(node);
  return found;
}

window.checks = {
  // Text outside of its box; text that can be scrolled to is not cut off.
  cutOff: () => texts('script, .unseen, .skip, .scroll table, pre').filter(text => {
    const box = text.parentElement.closest('.chart, .voice, body').getBoundingClientRect();
    const range = document.createRange();
    range.selectNodeContents(text);
    return [...range.getClientRects()].some(r => r.width && (r.right > box.right + 1 || r.left < box.left - 1));
  }).map(text => text.data.trim()),

  // Text with too little contrast.
  pale: () => texts('script').filter(text => contrast(text.parentElement) < 4.5)
    .map(text => text.data.trim()),

  // Boxes that scroll, but not by keyboard in every browser.
  stuck: () => [...document.querySelectorAll('main *')].filter(box =>
    box.scrollWidth > box.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(box).overflowX)
    && box.tabIndex < 0 && !box.querySelector('button, input')).map(box => box.outerHTML.slice(0, 80)),

  // The name of the focused element, and whether it has a visible ring; a browser's own player draws its own.
  focus: () => {
    const at = document.activeElement, ring = at.matches('.unseen') ? at.parentElement : at;
    if (at.matches('body')) return ['', false];
    const words = at.matches('pre') ? 'pre' : at.closest('fieldset')?.firstElementChild.textContent
      ?? at.ariaLabel ?? at.labels?.[0]?.textContent ?? at.textContent;
    return [words.trim(), at.matches('audio') || visible(ring.getBoundingClientRect(), getComputedStyle(ring))];
  },

  // Which players play, by their index in the page.
  playing: () => [...document.querySelectorAll('audio')].flatMap((audio, i) => audio.currentTime > 0 ? [i] : []),
};
