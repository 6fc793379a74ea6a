// The pictures of the sample API: six small drawings, in colours that follow from whose they are.
import { createHash } from 'node:crypto'

/** A photo as the API gives it out. */
export interface Photo {
  id: string
  title: string
  /** Day it was taken, as an ISO date. */
  taken: string
  /** An SVG document. */
  svg: string
}

/** The six photos of a person. Everybody has their own: colours and ids follow from the account. */
export function albumOf(sub: string): Photo[] {
  const seed = createHash('sha256').update(sub).digest()
  return SCENES.map(({ title, taken, draw }, i) => {
    const hue = (SCENES[i]!.hue + (seed[i]! % 40) - 20 + 360) % 360
    return {
      id: `${seed.subarray(0, 4).toString('hex')}-${i + 1}`,
      title,
      taken,
      svg: picture(title, draw(hue)),
    }
  })
}

interface Scene {
  title: string
  taken: string
  hue: number
  draw(hue: number): string
}

function picture(title: string, content: string): string {
  return [
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240" role="img">',
    `<title>${title}</title>${content}</svg>`,
  ].join('')
}

function sky(from: string, to: string, end = 1): string {
  return [
    '<defs><linearGradient id="sky" x2="0" y2="1">',
    `<stop stop-color="${from}"/><stop offset="${end}" stop-color="${to}"/>`,
    '</linearGradient></defs><rect width="320" height="240" fill="url(#sky)"/>',
  ].join('')
}

const SCENES: Scene[] = [
  {
    title: 'Sunrise over the bay',
    taken: '2026-05-03',
    hue: 25,
    draw: (hue) =>
      [
        sky(`hsl(${hue + 220} 45% 38%)`, `hsl(${hue} 92% 72%)`, 0.65),
        `<circle cx="160" cy="150" r="42" fill="hsl(${hue + 20} 100% 82%)"/>`,
        `<path d="M0 152q80-10 160 0t160 0v88H0z" fill="hsl(${hue + 190} 42% 36%)"/>`,
        '<path d="M120 170h80M132 186h56M142 202h36" stroke="#fff" stroke-opacity=".55" stroke-width="5" stroke-linecap="round"/>',
      ].join(''),
  },
  {
    title: 'Pine ridge',
    taken: '2026-05-17',
    hue: 160,
    draw: (hue) =>
      [
        sky(`hsl(${hue + 30} 55% 80%)`, `hsl(${hue + 10} 40% 93%)`),
        `<path d="M0 170l70-70 50 40 70-90 80 80 50-40v150H0z" fill="hsl(${hue} 22% 62%)"/>`,
        `<path d="M0 210l60-50 60 30 60-60 70 60 70-40v90H0z" fill="hsl(${hue} 34% 38%)"/>`,
        `<path d="M40 240l22-70 22 70zM96 240l26-92 26 92zM208 240l24-84 24 84zM262 240l20-64 20 64z" fill="hsl(${hue} 45% 22%)"/>`,
      ].join(''),
  },
  {
    title: 'The old lighthouse',
    taken: '2026-06-21',
    hue: 210,
    draw: (hue) =>
      [
        sky(`hsl(${hue} 70% 62%)`, `hsl(${hue + 5} 75% 88%)`),
        `<path d="M0 190q80-22 160-8t160-10v68H0z" fill="hsl(${hue + 5} 55% 42%)"/>`,
        '<path d="M190 214q34-30 92-22l38 14v34H170z" fill="#6d6257"/>',
        '<path d="M226 198l8-112h28l8 112z" fill="#fdfdfb"/>',
        '<path d="M231.5 122h33l2 30h-37.3zM228 170h40l2 28h-44z" fill="#d6453d"/>',
        '<path d="M232 86V66h32v20zM228 66l20-18 20 18z" fill="#37323a"/><circle cx="248" cy="76" r="6" fill="#ffe9a0"/>',
        '<path d="M242 76L60 50v46z" fill="#fff6cf" fill-opacity=".6"/>',
      ].join(''),
  },
  {
    title: 'Dunes at noon',
    taken: '2026-07-30',
    hue: 35,
    draw: (hue) =>
      [
        sky(`hsl(${hue + 165} 65% 68%)`, `hsl(${hue + 10} 80% 90%)`),
        '<circle cx="64" cy="56" r="24" fill="#fffbe8"/>',
        `<path d="M0 140q90-70 190-6t130-20v126H0z" fill="hsl(${hue} 72% 66%)"/>`,
        `<path d="M0 190q110-66 200-20t120-14v84H0z" fill="hsl(${hue - 5} 66% 54%)"/>`,
        `<path d="M200 170q-40 24-26 70h146v-84q-50 36-120 14z" fill="hsl(${hue - 9} 58% 44%)"/>`,
      ].join(''),
  },
  {
    title: 'First snow',
    taken: '2026-10-29',
    hue: 225,
    draw: (hue) =>
      [
        sky(`hsl(${hue} 32% 56%)`, `hsl(${hue} 38% 84%)`),
        '<path d="M0 184q80-34 170-10t150-12v78H0z" fill="#f6f9ff"/>',
        '<path d="M96 190v-54l44-34 44 34v54z" fill="#8d4a3a"/><path d="M84 142l56-46 56 46-10 6-46-38-46 38z" fill="#fff"/>',
        '<path d="M126 190v-34h28v34z" fill="#ffdf8e"/>',
        `<path d="M232 196l26-78 26 78z" fill="hsl(${hue - 60} 30% 30%)"/><path d="M244 160l14-42 14 42q-14-10-28 0z" fill="#fff"/>`,
        '<g fill="#fff"><circle cx="40" cy="40" r="4"/><circle cx="96" cy="72" r="3"/><circle cx="210" cy="44" r="4"/>',
        '<circle cx="284" cy="72" r="3"/><circle cx="30" cy="120" r="3"/><circle cx="206" cy="100" r="3"/></g>',
      ].join(''),
  },
  {
    title: 'City, late',
    taken: '2026-11-02',
    hue: 265,
    draw: (hue) =>
      [
        sky(`hsl(${hue} 48% 16%)`, `hsl(${hue + 50} 52% 46%)`),
        '<circle cx="252" cy="54" r="20" fill="#fdf3d8"/>',
        `<path d="M0 240V120h44V90h40v60h30V70h52v90h30v-56h44v40h36v-34h44v130z" fill="hsl(${hue} 42% 13%)"/>`,
        '<g fill="#ffd98a"><path d="M14 140h8v10h-8zM28 160h8v10h-8zM54 108h8v10h-8zM68 128h8v10h-8zM54 150h8v10h-8z"/>',
        '<path d="M124 88h8v10h-8zM146 108h8v10h-8zM124 130h8v10h-8zM146 152h8v10h-8zM206 122h8v10h-8zM222 146h8v10h-8z"/>',
        '<path d="M286 128h8v10h-8zM300 150h8v10h-8zM250 166h8v10h-8zM90 176h8v10h-8zM176 182h8v10h-8z"/></g>',
      ].join(''),
  },
]
