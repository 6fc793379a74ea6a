// A process that runs one command after another, each as bin/valetkey would, and tells what it wrote: see inOneProcess.
import { runValetkey } from '../../src/valetkey.ts'

const written = { stdout: '', stderr: '' }
for (const name of ['stdout', 'stderr'] as const) {
  process[name].write = (text: string | Uint8Array, ...rest: unknown[]) => {
    written[name] += text
    const done = rest.find((each) => typeof each === 'function')
    if (done) queueMicrotask(() => done())
    return true
  }
}

process.on('message', async (args: string[]) => {
  written.stdout = written.stderr = ''
  const code = await runValetkey(args)
  process.send!({ code, ...written })
})
