/** All services, by the name that `m.service` uses. */
import * as interrupts from './interrupts.ts'
import type { Services } from './service.ts'
import * as x87 from './x87.ts'

export type { Service, Services } from './service.ts'

export const services: Services = {
  ...interrupts.services,
  ...x87.services,
}
