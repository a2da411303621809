//! As little HTTP as a load generator needs: requests that are bytes before the clock starts, and answers
//! that are measured by their `content-length`. What it takes is taken from the server's cores.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A `POST`, ready to be written to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post(Vec<u8>);

impl Post {
    /// `body` to `path`, with `headers`.
    #[must_use]
    pub fn new(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut text = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        Self(bytes)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The answer that `bytes` begin with, and its length; `None` if it is not all there yet.
    fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(at) = bytes.windows(END.len()).position(|four| four == END) else { return Ok(None) };
        let (head, rest) = bytes.split_at(at);
        let head = std::str::from_utf8(head).context("the head of an answer is not text")?;
        let status = head.split(' ').nth(1).context("an answer has no status")?.parse()?;
        let length: usize = match header(head, "content-length") {
            Some(length) => length.parse()?,
            None => bail!("an answer with status {status} does not say how long it is"),
        };
        let body = rest.get(END.len()..END.len() + length);
        let answer = body.map(|body| Self { status, head: head.to_owned(), body: body.to_vec() });
        Ok(answer.map(|answer| (answer, at + END.len() + length)))
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// A connection that stays open.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// To a server on this machine.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("nobody listens on {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// If the connection breaks, or what comes is no answer.
    pub async fn ask(&mut self, request: &Post) -> Result<Answer> {
        self.stream.write_all(&request.0).await?;
        self.buffer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server hung up");
            if let Some((answer, length)) = Answer::read(&self.buffer)? {
                ensure!(length == self.buffer.len(), "there is more than one answer");
                return Ok(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nsignature: a=b\r\n\r\nbody";

    #[test]
    fn an_answer_is_read_once_all_of_it_is_there() {
        for end in 0..ANSWER.len() {
            assert_eq!(Answer::read(&ANSWER[..end]).unwrap(), None, "{end}");
        }
        let (answer, length) = Answer::read(ANSWER).unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_slice(), length), (200, &b"body"[..], ANSWER.len()));
        assert_eq!((answer.header("Signature"), answer.header("sig")), (Some("a=b"), None));
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        for answer in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "nothing\r\n\r\n"] {
            assert!(Answer::read(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_request_says_how_long_its_body_is() {
        let text = String::from_utf8(Post::new("/pay", &[("client-id", "ann")], b"{}").0).unwrap();
        assert!(text.starts_with("POST /pay HTTP/1.1\r\n") && text.contains("\r\nclient-id: ann\r\n"), "{text}");
        assert!(text.ends_with("\r\ncontent-length: 2\r\n\r\n{}"), "{text}");
    }
}
