// Rooms on Socket.IO 4 with its Redis adapter: join a room, emit to it through the adapter, acknowledge. No log.
// node server.js PORT REDIS_URL; says "ready" when it listens.
"use strict";

const { createServer } = require("node:http");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");
const { Server } = require("socket.io");

const EPOCH = "5f3b9a7c21d0";

async function main(port, redisUrl) {
  const pub = createClient({ url: redisUrl });
  const sub = pub.duplicate();
  await Promise.all([pub.connect(), sub.connect()]);
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(pub, sub), transports: ["websocket"], serveClient: false });
  const seqs = new Map();

  io.on("connection", (socket) => {
    socket.on("join", (roomId, user, answer) => {
      socket.data.user = user;
      socket.join(roomId);
      answer({ roomId, seq: seqs.get(roomId) ?? 0 });
    });
    socket.on("msg", ({ roomId, text }, answer) => {
      const seq = (seqs.get(roomId) ?? 0) + 1;
      seqs.set(roomId, seq);
      const user = socket.data.user;
      io.to(roomId).emit("msg", {
        seq,
        epoch: EPOCH,
        roomId,
        t: "msg",
        timestamp: new Date().toISOString(),
        by: String(seq),
        from: user,
        username: user,
        text,
      });
      answer({ epoch: EPOCH, seq });
    });
  });
  http.listen(port, "127.0.0.1", 4096, () => console.log("ready"));
}

main(Number(process.argv[2]), process.argv[3]).catch((error) => {
  console.error(error);
  process.exit(1);
});
