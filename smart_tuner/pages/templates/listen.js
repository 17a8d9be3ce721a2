'use strict';
const page = document.querySelector('main');
const voices = document.querySelector('.voices');
const report = text => { document.getElementById('status').textContent = text; };
const name = voice => document.body.classList.contains('blind')
  ? 'Voice ' + voice.dataset.letter : 'Trial ' + voice.dataset.trial;

// One player plays at a time.
let playing = null;
function stop() {
  if (!playing) return;
  playing.audio.pause();
  playing.audio.currentTime = 0;
  show(playing.button, false);
  playing = null;
}
function show(button, isPlaying) {
  button.setAttribute('aria-pressed', isPlaying);
  button.querySelector('.sign').textContent = isPlaying ? '■' : '▶';
  if (!isPlaying) button.querySelector('progress').value = 0;
}
for (const button of document.querySelectorAll('.play')) {
  const audio = button.nextElementSibling, bar = button.querySelector('progress');
  audio.addEventListener('loadedmetadata', () => {
    button.querySelector('.time').textContent = audio.duration.toFixed(1) + ' s';
  });
  audio.addEventListener('timeupdate', () => { bar.value = audio.duration ? audio.currentTime / audio.duration : 0; });
  audio.addEventListener('ended', stop);
  button.addEventListener('click', () => {
    const again = playing && playing.audio === audio;
    stop();
    if (again) return;
    playing = {audio, button};
    show(button, true);
    audio.play().catch(error => { stop(); report('Cannot be played: ' + error.message); });
  });
}

// Arrows move between players, digits rate the voice that has the focus.
document.addEventListener('keydown', event => {
  const voice = event.target.closest('.voice');
  if (!voice || event.altKey || event.ctrlKey || event.metaKey) return;
  if (/^[0-5]$/.test(event.key) && voice.querySelector('.stars')) {
    rate(voice, Number(event.key) || null);
    event.preventDefault();
  }
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  const from = event.target.closest('.row');
  if (!step || !from) return;
  const columns = [...voices.children], row = Number(from.dataset.row) + step[1];
  const to = columns[columns.indexOf(voice) + step[0]]?.querySelector(`.row[data-row="${row}"] .play`);
  if (to) to.focus();
  event.preventDefault();
});

// Stars: those in the store; in blind mode only those that were given in it.
const given = new Map([...voices.children].map(voice => [voice, Number(voice.dataset.stars) || null]));
let blindly = new Map();
const shown = voice => (document.body.classList.contains('blind') ? blindly : given).get(voice) ?? null;
function paint(voice) {
  const stars = shown(voice);
  for (const input of voice.querySelectorAll('.stars input')) {
    input.checked = Number(input.value) === stars;
    const on = input.parentElement.classList.toggle('on', Number(input.value) <= (stars ?? 0));
    input.parentElement.firstChild.data = on ? '★' : '☆';
  }
}
// Saved one after another, so that the last one is kept.
let saved = Promise.resolve();
const rate = (voice, stars) => { saved = saved.then(() => save(voice, stars)); };
async function save(voice, stars) {
  try {
    const answer = await fetch('/rating', {
      method: 'POST', headers: {'Content-Type': 'application/json'},
      body: JSON.stringify({token: page.dataset.token, trial: Number(voice.dataset.trial), stars}),
    });
    if (!answer.ok) throw new Error(await answer.text());
    given.set(voice, stars);
    blindly.set(voice, stars);
    report(`${name(voice)}: ${stars ? stars + (stars === 1 ? ' star' : ' stars') : 'no rating'}, saved.`);
  } catch (error) {
    report(`Not saved: ${error.message}. Is smart-tuner listen still running?`);
  }
  paint(voice);
}
for (const input of document.querySelectorAll('.stars input'))
  input.addEventListener('change', () => rate(input.closest('.voice'), Number(input.value)));

// Blind: in random order and named by letters, so that ratings depend on the sound alone.
const order = [...voices.children];
document.getElementById('blind')?.addEventListener('change', event => {
  stop();
  const blind = event.target.checked, columns = [...order];
  document.body.classList.toggle('blind', blind);
  blindly = new Map();
  if (blind) {
    for (let i = columns.length - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      [columns[i], columns[j]] = [columns[j], columns[i]];
    }
  }
  voices.append(...columns);
  columns.forEach((voice, place) => {
    voice.dataset.letter = String.fromCharCode(65 + place);
    voice.querySelector('.unknown').textContent = name(voice);
    for (const button of voice.querySelectorAll('.play'))
      button.setAttribute('aria-label', `Sentence ${Number(button.parentElement.dataset.row) + 1}, ${name(voice)}`);
    const legend = voice.querySelector('.stars legend');
    if (legend) legend.textContent = `Rating of ${name(voice)}`;
    paint(voice);
  });
  report(blind ? 'The order is random now, and the figures are hidden.' : '');
});
order.forEach(paint);
