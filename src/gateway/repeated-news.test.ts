import { expect, test } from 'vitest'
import { RepeatedNews } from './repeated-news.ts'

test('the same is told at once and then seldomer, another one at once, and all anew after its end', () => {
  const news = new RepeatedNews()
  const told: number[] = []
  for (let second = 0; second <= 1000; second++) {
    if (news.isNews('a', second * 1000)) told.push(second)
  }
  expect(told).toEqual([0, 60, 180, 420, 900])
  expect(news.isNews('b', 1_000_000)).toBe(true)
  expect(news.isNews('a', 1_000_000)).toBe(false)
  news.forget()
  expect(news.isNews('a', 1_000_000)).toBe(true)
})

test('however many different texts there are, few are kept', () => {
  const news = new RepeatedNews()
  for (let text = 0; text < 1000; text++) expect(news.isNews(String(text), 0)).toBe(true)
})
