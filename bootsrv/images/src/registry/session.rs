//! Requests for one image: mirrors in their order, then the registry itself, with patience.

use super::endpoint::{Ask, Endpoint};
use super::failure::{Again, Failure};
use super::manifest::{self, Descriptor};
use super::patience::{Patience, Trial};
use crate::progress::Progress;
use bytes::Bytes;
use protocol::image_reference::DockerReference;
use protocol::names::Digest;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Everything that is asked about one image, for one caller.
#[derive(Debug)]
pub(crate) struct Session {
    mirrors: Vec<Endpoint>,
    own: Endpoint,
    patience: Patience,
    progress: Arc<Progress>,
}

/// Who failed, and of what.
pub(crate) type Refused<'a> = (&'a Endpoint, Failure);

/// A blob's bytes on their way.
pub(crate) struct BlobStream<'a> {
    endpoint: &'a Endpoint,
    response: Response,
    /// Bytes to be thrown away first: the registry starts before what was asked for.
    surplus: u64,
}

impl Session {
    pub(super) fn new(
        mirrors: Vec<Endpoint>,
        own: Endpoint,
        patience: Patience,
        progress: Arc<Progress>,
    ) -> Self {
        Self { mirrors, own, patience, progress }
    }

    /// What the image's tag means now. Of a digest: whether it can be had here, proven by its bytes; a
    /// registry that users keep may say anything in its headers.
    pub(crate) async fn digest(&self, image: &DockerReference) -> Result<Digest, Failure> {
        if let Some(asked) = image.digest {
            return self.fetch_manifest(image).await.map(|_| asked);
        }
        let ask = manifest_ask(image, Method::HEAD);
        let named = match self.try_once(&ask).await {
            Ok((_, response)) => named_digest(response.headers())?,
            // The answer to a HEAD has no words, and some registries do not know it: GET has the
            // last say, after the time the registry asks for, if it gets that.
            Err(failure) => {
                drop(self.put_off(&self.own, failure, &mut Trial::default()).await);
                None
            }
        };
        match named {
            Some(digest) => Ok(digest),
            None => Ok(Digest(Sha256::digest(&self.fetch_manifest(image).await?.0).into())),
        }
    }

    /// The document a reference names and its media type; verified if the reference has a digest.
    pub(crate) async fn fetch_manifest(
        &self,
        image: &DockerReference,
    ) -> Result<(Vec<u8>, String), Failure> {
        let ask = manifest_ask(image, Method::GET);
        self.fetch(&ask, manifest::MANIFEST_BYTES_MAX, image.digest.as_ref()).await
    }

    /// A document that another one names.
    pub(crate) async fn fetch_document(
        &self,
        image: &DockerReference,
        part: &Descriptor,
    ) -> Result<Vec<u8>, Failure> {
        let image = DockerReference { digest: Some(part.digest), ..image.clone() };
        Ok(self.fetch_manifest(&image).await?.0)
    }

    /// The image's configuration.
    pub(crate) async fn fetch_configuration(&self, part: &Descriptor) -> Result<Vec<u8>, Failure> {
        let ask = Ask {
            method: Method::GET,
            path: format!("blobs/sha256:{}", part.digest),
            what: "its configuration".into(),
            from: 0,
        };
        let read = self.fetch(&ask, manifest::CONFIG_BYTES_MAX, Some(&part.digest)).await;
        // The manifest is there: that the rest is not is no mistake of the user.
        read.map(|(bytes, _)| bytes).map_err(Failure::of_a_part)
    }

    /// Fetches a small document whole, from the first who has it as it should be.
    async fn fetch(
        &self,
        ask: &Ask,
        bytes_max: u64,
        expected: Option<&Digest>,
    ) -> Result<(Vec<u8>, String), Failure> {
        let mut trial = Trial::default();
        loop {
            let (endpoint, response) = self.send(ask, &mut trial).await?;
            let media_type = text(response.headers(), CONTENT_TYPE.as_str()).to_owned();
            let read = endpoint.read_all(response, bytes_max).await.and_then(|bytes| {
                let is = Digest(Sha256::digest(&bytes).into());
                match expected {
                    Some(expected) if *expected != is => {
                        Err(lying(&endpoint.name, &ask.what, expected))
                    }
                    _ => Ok((bytes, media_type)),
                }
            });
            match read {
                Ok(read) => return Ok(read),
                Err(failure) => self.put_off(endpoint, failure, &mut trial).await?,
            }
        }
    }

    /// Whether the registry has a layer's blob in this repository for this caller: one question,
    /// nothing is fetched.
    pub(crate) async fn check_blob(&self, blob: &Descriptor) -> Result<(), Failure> {
        let ask = blob_ask(blob, Method::HEAD, 0);
        self.send(&ask, &mut Trial::default()).await.map(drop).map_err(Failure::of_a_part)
    }

    /// Opens a layer's blob at byte `from`: one try, without patience ([`Self::put_off`]).
    pub(crate) async fn open_blob(
        &self,
        blob: &Descriptor,
        from: u64,
    ) -> Result<BlobStream<'_>, Refused<'_>> {
        let ask = blob_ask(blob, Method::GET, from);
        let asked = self.try_once(&ask).await;
        let (endpoint, response) = asked.map_err(|failure| (&self.own, failure.of_a_part()))?;
        match surplus(&response, from, blob.size) {
            Ok(surplus) => Ok(BlobStream { endpoint, response, surplus }),
            Err(why) => Err((endpoint, Failure::site(format!("{} {why}", endpoint.name)))),
        }
    }

    /// The registry's name, whatever mirrors it has.
    pub(crate) fn registry(&self) -> &str {
        &self.own.name
    }

    /// Leaves all mirrors for good; `false`: there was none left.
    pub(crate) fn leave_mirrors(&self) -> bool {
        let left = self.mirrors.iter().filter(|mirror| !mirror.is_given_up());
        left.inspect(|mirror| mirror.give_up()).count() > 0
    }

    /// Asks as often as patience allows.
    async fn send(&self, ask: &Ask, trial: &mut Trial) -> Result<(&Endpoint, Response), Failure> {
        loop {
            match self.try_once(ask).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.put_off(&self.own, failure, trial).await?,
            }
        }
    }

    /// Asks each mirror, then the registry itself, until one has it.
    async fn try_once(&self, ask: &Ask) -> Result<(&Endpoint, Response), Failure> {
        for mirror in self.mirrors.iter().filter(|mirror| !mirror.is_given_up()) {
            match mirror.once(ask).await {
                Ok(response) => return Ok((mirror, response)),
                Err(failure) => {
                    log::info!("mirror {}: {}", mirror.name, failure.text);
                    // One that is down would cost its time limit for each layer.
                    if failure.again != Again::Never {
                        mirror.give_up();
                    }
                }
            }
        }
        self.own.once(ask).await.map(|response| (&self.own, response))
    }

    /// After a failure: leaves a mirror for good, waits for the registry itself, or gives up.
    pub(crate) async fn put_off(
        &self,
        endpoint: &Endpoint,
        failure: Failure,
        trial: &mut Trial,
    ) -> Result<(), Failure> {
        if !std::ptr::eq(endpoint, &self.own) {
            log::info!("mirror {}: {}", endpoint.name, failure.text);
            endpoint.give_up();
            return Ok(());
        }
        let Again::Later(asked) = failure.again else { return Err(failure) };
        let Some(wait) = trial.failed(&self.patience, asked, rand::random::<f64>()) else {
            return Err(failure);
        };
        let seconds = wait.as_secs_f32().round().max(1.0);
        self.progress.waits_for(Some(format!("{}; again in {seconds} s", failure.text)));
        tokio::time::sleep(wait).await;
        self.progress.waits_for(None);
        Ok(())
    }
}

impl BlobStream<'_> {
    /// The next bytes; `None`: the end of what is sent.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let chunk = self.response.chunk().await;
            let fail = |error| Failure::transport(&self.endpoint.name, self.endpoint.idle, &error);
            let Some(mut chunk) = chunk.map_err(fail)? else { return Ok(None) };
            let skipped = chunk.len().min(usize::try_from(self.surplus).unwrap_or(usize::MAX));
            self.surplus -= u64::try_from(skipped).unwrap_or(u64::MAX);
            let rest = chunk.split_off(skipped);
            if !rest.is_empty() {
                return Ok(Some(rest));
            }
        }
    }
}

impl<'a> BlobStream<'a> {
    /// Who sends it.
    pub(crate) fn endpoint(&self) -> &'a Endpoint {
        self.endpoint
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'a str {
        &self.endpoint.name
    }
}

fn manifest_ask(image: &DockerReference, method: Method) -> Ask {
    let name = match (&image.digest, &image.tag) {
        (Some(digest), _) => format!("sha256:{digest}"),
        (None, tag) => tag.clone().unwrap_or_else(|| "latest".to_owned()),
    };
    Ask { method, path: format!("manifests/{name}"), what: "it".into(), from: 0 }
}

fn blob_ask(blob: &Descriptor, method: Method, from: u64) -> Ask {
    Ask {
        method,
        path: format!("blobs/sha256:{}", blob.digest),
        what: format!("its layer sha256:{}", blob.digest),
        from,
    }
}

fn lying(name: &str, what: &str, expected: &Digest) -> Failure {
    Failure::site(format!(
        "what {name} sends for {what} does not have the digest sha256:{expected}"
    ))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// `Docker-Content-Digest`; none: it is not sent, or by another algorithm.
fn named_digest(headers: &HeaderMap) -> Result<Option<Digest>, Failure> {
    match text(headers, "docker-content-digest") {
        "" => Ok(None),
        named => manifest::parse_digest(named).map(Some),
    }
}

/// How much of an answer lies before byte `from` of a blob of `size` bytes; an error where the
/// answer is no part of such a blob.
fn surplus(response: &Response, from: u64, size: u64) -> Result<u64, String> {
    let headers = response.headers();
    let (surplus, total) = if response.status() == StatusCode::PARTIAL_CONTENT {
        let range = text(headers, CONTENT_RANGE.as_str());
        let parsed = parse_range(range).ok_or_else(|| format!("sent the range {range:?}"))?;
        let surplus = from.checked_sub(parsed.0);
        (surplus.ok_or_else(|| format!("sent {range:?} for byte {from}"))?, parsed.1)
    } else {
        (from, text(headers, CONTENT_LENGTH.as_str()).parse().ok())
    };
    match total {
        Some(total) if total != size => {
            Err(format!("has {total} bytes for a layer of {size} bytes"))
        }
        _ => Ok(surplus),
    }
}

/// `bytes FIRST-LAST/TOTAL`: the first byte, and the total if it is known.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(parse_range("bytes */10"), None);
        assert_eq!(parse_range(""), None);
    }
}
