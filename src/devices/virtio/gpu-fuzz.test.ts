import { test } from 'node:test'
import { fuzzGpu } from './gpu-fuzz.ts'

test('a driver that is sometimes right', () => fuzzGpu(Math.floor(Math.random() * 2 ** 31), 6000))
