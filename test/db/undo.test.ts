// What is left to be undone, while the database comes and goes.
import { expect, test } from '@jest/globals'
import { undoList } from '../../src/db/undo.ts'

test('of two things under one name both are undone, and none is forgotten while the database is away', async () => {
  let isAway = true
  const undone: string[] = []
  const list = undoList(async (item: string) => {
    if (isAway) throw new Error('away')
    undone.push(item)
  })
  list.add('token', 'first')
  list.add('token', 'second')

  await expect(list.settle('token')).rejects.toThrow('away')
  isAway = false
  await list.settle('token')
  await list.settle('token')
  await list.close()

  expect(undone).toEqual(['first', 'second'])
})
