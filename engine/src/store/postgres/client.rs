//! The database's client, blocking for whoever uses it. Statements that do not wait for each other's rows
//! are sent one behind the other, and take one way there and back.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Config, Error, NoTls, Row, SimpleQueryMessage, Statement};

use super::link::{Trouble, chain};
use super::rows::Parameters;
use super::tls;

/// A statement on its way: prepared, or with its text.
pub(super) enum Sent<'s> {
    Prepared(Statement, Vec<&'s (dyn ToSql + Sync)>),
    Whole(&'s str, &'s Parameters<'s>),
}

/// A connection and the runtime that it lives on: nothing moves while nobody waits.
pub(super) struct Client {
    runtime: Runtime,
    /// `None`: it is being closed.
    inner: Option<tokio_postgres::Client>,
    connection: Option<JoinHandle<Result<(), Error>>>,
}

impl Client {
    /// Must be used, and dropped, on a thread that runs no asynchronous tasks.
    pub(super) fn connect(config: &Config) -> Result<Client, Trouble> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|cause| Trouble::Away(cause.to_string()))?;
        let connected = runtime.block_on(async {
            match config.get_ssl_mode() {
                SslMode::Disable => {
                    let (client, connection) = config.connect(NoTls).await?;
                    Ok((client, tokio::spawn(connection)))
                }
                _ => {
                    let connector = tls::connector().map_err(Reason::Certificates)?;
                    let (client, connection) = config.connect(connector).await?;
                    Ok((client, tokio::spawn(connection)))
                }
            }
        });
        let (client, connection) = connected.map_err(|reason: Reason| match reason {
            Reason::Certificates(text) => Trouble::Away(text),
            Reason::Connection(cause) => Trouble::Away(chain(&cause)),
        })?;
        Ok(Client { runtime, inner: Some(client), connection: Some(connection) })
    }

    fn inner(&self) -> &tokio_postgres::Client {
        self.inner.as_ref().expect("only its end takes it away")
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner().is_closed()
    }

    pub(super) fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.runtime.block_on(self.inner().simple_query(sql))
    }

    pub(super) fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        self.runtime.block_on(self.inner().batch_execute(sql))
    }

    pub(super) fn prepare(&self, sql: &str, types: &[Type]) -> Result<Statement, Error> {
        self.runtime.block_on(self.inner().prepare_typed(sql, types))
    }

    /// The rows of each statement, in order. Of several faults the first: it is the others' cause.
    pub(super) fn query(&self, sent: &[Sent<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let inner = self.inner();
        let asked = sent.iter().map(|sent| async move {
            match sent {
                Sent::Prepared(statement, values) => inner.query(statement, values).await,
                Sent::Whole(sql, parameters) => inner.query_typed(sql, parameters).await,
            }
        });
        self.runtime.block_on(together(asked)).into_iter().collect()
    }

    /// How many rows each statement changed, in order.
    pub(super) fn execute(&self, sent: &[Sent<'_>]) -> Result<Vec<u64>, Error> {
        let inner = self.inner();
        let asked = sent.iter().map(|sent| async move {
            match sent {
                Sent::Prepared(statement, values) => inner.execute(statement, values).await,
                Sent::Whole(sql, parameters) => inner.execute_typed(sql, parameters).await,
            }
        });
        self.runtime.block_on(together(asked)).into_iter().collect()
    }
}

impl Drop for Client {
    /// Says good-bye, and waits until that is sent.
    fn drop(&mut self) {
        self.inner = None;
        if let Some(connection) = self.connection.take() {
            // Whatever it ends with, it is over.
            let _over = self.runtime.block_on(connection).is_ok();
        }
    }
}

/// Why there is no connection.
enum Reason {
    Certificates(String),
    Connection(Error),
}

impl From<Error> for Reason {
    fn from(cause: Error) -> Reason {
        Reason::Connection(cause)
    }
}

/// Begins all of them, in order, before it waits for the first. They come to their ends in order.
async fn together<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = all.map(Box::pin).collect();
    let mut done: Vec<F::Output> = Vec::with_capacity(running.len());
    let mut early: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    let mut is_begun = false;
    poll_fn(|context| {
        if !is_begun {
            is_begun = true;
            for (future, early) in running.iter_mut().zip(&mut early) {
                if let Poll::Ready(output) = future.as_mut().poll(context) {
                    *early = Some(output);
                }
            }
        }
        while let Some(future) = running.get_mut(done.len()) {
            let early = early.get_mut(done.len()).and_then(Option::take);
            match early.map_or_else(|| future.as_mut().poll(context), Poll::Ready) {
                Poll::Ready(output) => done.push(output),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    })
    .await;
    done
}
