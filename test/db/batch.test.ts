// Calls that are sent together: when they go out, and what becomes of them where one takes longer than anybody waits.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { batched } from '../../src/db/batch.ts'
import { DatabaseUnavailable } from '../../src/db/errors.ts'

// Longer than anybody waits behind a silent database.
const SILENT_MS = 1_600

test('whoever has waited behind a silent database is told so, and nothing of theirs is sent', async () => {
  const sent: string[] = []
  const over = Promise.withResolvers<void>()
  const send = batched(async (keys: string[]) => {
    sent.push(...keys)
    if (!keys.includes('first') && !keys.includes('second')) return keys
    await over.promise
    throw new DatabaseUnavailable('silent', { cause: new Error('Query read timeout') })
  })

  const first = expect(send('first')).rejects.toThrow('silent')
  const second = expect(send('second')).rejects.toThrow('silent')
  while (sent.length < 2) await sleep(10)
  const third = expect(send('third')).rejects.toThrow('silent for others')
  await sleep(SILENT_MS)
  const fourth = send('fourth')
  over.resolve()

  await Promise.all([first, second, third])
  expect(await fourth).toBe('fourth')
  expect(sent).toEqual(['first', 'second', 'fourth'])
})

test('calls that come while a batch is under way go out together, and not beside it', async () => {
  const batches: string[][] = []
  const ends: (() => void)[] = []
  const send = batched(async (keys: string[]) => {
    batches.push(keys)
    await new Promise<void>((resolve) => ends.push(resolve))
    return keys
  })

  const sent = ['a', 'b', 'c'].map(send)
  expect(batches).toEqual([['a']])
  ends.shift()!()
  await sent[0]
  await sleep(0)

  expect(batches).toEqual([['a'], ['b', 'c']])
  ends.shift()!()
  expect(await Promise.all(sent)).toEqual(['a', 'b', 'c'])
})

test('a batch that takes long does not hold up those behind it', async () => {
  const batches: string[][] = []
  const first = Promise.withResolvers<void>()
  const send = batched(async (keys: string[]) => {
    batches.push(keys)
    if (keys.includes('slow')) await first.promise
    return keys
  })

  const slow = send('slow')
  expect(await Promise.all([send('b'), send('c')])).toEqual(['b', 'c'])
  expect(await send('d')).toBe('d')

  first.resolve()
  expect(await slow).toBe('slow')
  expect(batches).toEqual([['slow'], ['b', 'c'], ['d']])
})
