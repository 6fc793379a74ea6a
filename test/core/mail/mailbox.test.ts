// Which addresses share the limit on mails that anybody can have sent to anybody.
import { describe, expect, test } from '@jest/globals'
import { mailboxOf } from '../../../src/core/mail/mailbox.ts'

describe('one mailbox', () => {
  test.each([
    ['a tag', 'sam@example.com', ['sam+a@example.com', 'Sam+b+c@Example.com', 'sam+@example.com']],
    [
      'Gmail: dots, and its other name',
      'samlee@gmail.com',
      ['sam.lee@gmail.com', 's.a.m.l.e.e+x@googlemail.com', 'SamLee@googlemail.com'],
    ],
    [
      'Proton: dots, hyphens and underscores, and its other names',
      'samlee@proton.me',
      ['sam.lee@proton.me', 'sam-lee@protonmail.com', 's_a_m.lee+x@pm.me', 'samlee@protonmail.ch'],
    ],
    ['Yahoo: a tag behind a hyphen', 'sam@yahoo.com', ['sam-shop@yahoo.com', 'sam-a-b@yahoo.com']],
    ['Yahoo elsewhere', 'sam@yahoo.co.uk', ['sam-shop@yahoo.co.uk', 'sam-+x@yahoo.co.uk']],
    ['Yahoo under another name', 'sam@ymail.com', ['sam-shop@ymail.com']],
    [
      'Yandex: dots for hyphens, and its other names',
      'sam.lee@yandex.ru',
      ['sam-lee@ya.ru', 'sam.lee+x@yandex.com'],
    ],
    ['iCloud', 'sam@icloud.com', ['sam+x@me.com', 'sam@mac.com']],
    [
      'Fastmail: anything at a name of one’s own',
      'sam@fastmail.com',
      ['shop@sam.fastmail.com', 'a.b+c@Sam.fastmail.com'],
    ],
  ])('%s', (_, address, others) => {
    for (const other of others) expect(mailboxOf(other)).toBe(mailboxOf(address))
  })
})

describe('two mailboxes', () => {
  test.each([
    ['names that differ', 'sam@example.com', 'pat@example.com'],
    ['dots, where nobody passes them over', 'sam.lee@example.com', 'samlee@example.com'],
    ['hyphens, where nobody passes them over', 'anna-maria@example.com', 'anna-lena@example.com'],
    ['hyphens at Gmail', 'sam-lee@gmail.com', 'samlee@gmail.com'],
    ['dots at Yahoo', 'sam.lee@yahoo.com', 'samlee@yahoo.com'],
    ['Yahoo here and there', 'sam@yahoo.com', 'sam@yahoo.de'],
    ['a host that only ends like one', 'sam.lee@notgmail.com', 'samlee@notgmail.com'],
    ['a host below one', 'sam-a@mail.yahoo.com', 'sam-b@mail.yahoo.com'],
    ['Fastmail', 'sam@fastmail.com', 'shop@pat.fastmail.com'],
  ])('%s', (_, one, other) => {
    expect(mailboxOf(one)).not.toBe(mailboxOf(other))
  })
})
