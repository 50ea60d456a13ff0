// Fetches pages: fetch.mjs fetch|https|http2 URL...; for http2 the rest are paths of the first URL's server.
import http2 from 'node:http2';
import https from 'node:https';

const [how, ...urls] = process.argv.slice(2);
const read = (stream) => new Promise((resolve, reject) => {
  let size = 0;
  stream.on('data', (chunk) => { size += chunk.length; }).on('end', () => resolve(size)).on('error', reject);
});

if (how === 'fetch') {
  for (const url of urls) console.log((await (await fetch(url)).arrayBuffer()).byteLength);
} else if (how === 'https') {
  for (const url of urls) {
    console.log(await new Promise((resolve, reject) => https.get(url, (answer) => read(answer).then(resolve, reject)).on('error', reject)));
  }
} else {
  const session = http2.connect(urls[0]);
  const paths = ['/', ...urls.slice(1)];
  console.log(await Promise.all(paths.map((path) => read(session.request({ ':path': path })))));
  session.close();
}
