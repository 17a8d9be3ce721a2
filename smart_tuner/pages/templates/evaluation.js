'use strict';
// One sound plays at a time.
document.addEventListener('play', event => {
  for (const audio of document.querySelectorAll('audio')) {
    if (audio === event.target) continue;
    audio.pause();
    audio.currentTime = 0;
  }
}, true);
