"""From a log-mel to sound: HiFi-GAN where its weights are at hand, else Griffin-Lim."""
