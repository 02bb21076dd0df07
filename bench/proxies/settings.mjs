/** What every proxy of the benchmark is told: where to listen, where to send, and the constant token to put on. */
export const port = Number(process.env.PORT);
export const upstream = process.env.UPSTREAM;
export const authorization = `Bearer ${process.env.TOKEN}`;
