/** Everything of a PC that sounds. */
import type { Bus, Device } from '../devices/bus.ts'
import type { Dma8237 } from '../devices/dma8237.ts'
import type { PciBus } from '../devices/pci.ts'
import type { Pit8254 } from '../devices/pit8254.ts'
import { Ac97 } from '../devices/sound/ac97.ts'
import { SoundMixer } from '../devices/sound/mixer.ts'
import { Opl3 } from '../devices/sound/opl3.ts'
import { SB16_PORT, Sb16 } from '../devices/sound/sb16.ts'
import { Speaker } from '../devices/sound/speaker.ts'
import type { SoundDevice } from './sound.ts'

/** What they are connected to. */
export interface SoundWiring {
  pit: Pit8254
  dma: Dma8237
  pci: PciBus
  /** Takes what is played. */
  emit(frame: number, samples: Int16Array): void
}

/** The speaker, the cards, and the mixer that they play through. */
export class SoundDevices {
  readonly mixer: SoundMixer
  readonly speaker: Speaker
  /** Those with a state of their own. */
  readonly devices: readonly Device[]

  /** @throws if ports are taken, or no PCI slot is free */
  constructor(bus: Bus, { pit, dma, pci, emit }: SoundWiring, names: readonly SoundDevice[]) {
    this.mixer = new SoundMixer(bus.clock, emit)
    this.speaker = new Speaker(this.mixer, bus.clock, () => pit.speaker)
    const devices: Device[] = []
    if (names.includes('sb16')) {
      const card = new Sb16(bus, dma, this.mixer)
      const loudness = () => card.synthesiserLoudness
      devices.push(card, new Opl3(bus, this.mixer, { card: SB16_PORT, loudness }))
    }
    if (names.includes('ac97')) {
      const card = new Ac97(bus, this.mixer)
      pci.addAnywhere(card.function)
      devices.push(card)
    }
    this.devices = devices
  }
}
