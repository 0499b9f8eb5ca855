//! The format `kafka`, behind the feature of the same name; without it, an error that says so.

#[cfg(feature = "kafka")]
pub(crate) use with_feature::{batch_source, sink, stream};
#[cfg(not(feature = "kafka"))]
pub(crate) use without_feature::{batch_source, sink, stream};

#[cfg(feature = "kafka")]
mod with_feature {
    use std::sync::Arc;

    use arrow::datatypes::SchemaRef;
    use tidegate_connectors::{KafkaSink, KafkaSource};
    use tidegate_runtime::{SinkSupplier, SourceSupplier};

    use crate::analysis::stream::StreamFactory;
    use crate::error::Result;
    use crate::options::Options;

    /// A stream of records, which gives only the columns that are needed.
    #[derive(Debug)]
    struct KafkaStream {
        source: KafkaSource,
        schema: SchemaRef,
        name: String,
    }

    impl StreamFactory for KafkaStream {
        fn schema(&self) -> SchemaRef {
            Arc::clone(&self.schema)
        }

        fn source(&self, projection: &[usize]) -> Result<Arc<dyn SourceSupplier>> {
            let names = projection.iter().map(|index| self.schema.field(*index).name());
            Ok(Arc::new(self.source.clone().projection(names)?))
        }

        fn name(&self) -> Option<&str> {
            Some(&self.name)
        }

        fn describe(&self) -> String {
            self.source.describe()
        }
    }

    pub(crate) fn stream(options: &Options) -> Result<Arc<dyn StreamFactory>> {
        let source = KafkaSource::new(options.pairs())?;
        let name = options.get("name").unwrap_or("kafka").to_owned();
        Ok(Arc::new(KafkaStream { schema: source.schema()?, source, name }))
    }

    pub(crate) fn batch_source(options: &Options) -> Result<Arc<dyn SourceSupplier>> {
        Ok(Arc::new(KafkaSource::batch(options.pairs())?))
    }

    pub(crate) fn sink(options: &Options) -> Result<Arc<dyn SinkSupplier>> {
        Ok(Arc::new(KafkaSink::new(options.pairs())?))
    }
}

#[cfg(not(feature = "kafka"))]
mod without_feature {
    use std::sync::Arc;

    use tidegate_runtime::{SinkSupplier, SourceSupplier};

    use crate::analysis::stream::StreamFactory;
    use crate::error::{Error, Result};
    use crate::options::Options;

    fn missing<T>() -> Result<T> {
        let message =
            "Failed to find the data source: kafka. Build tidegate with the cargo feature `kafka`, which compiles librdkafka.";
        Err(Error::analysis("DATA_SOURCE_NOT_FOUND", message))
    }

    pub(crate) fn stream(_options: &Options) -> Result<Arc<dyn StreamFactory>> {
        missing()
    }

    pub(crate) fn batch_source(_options: &Options) -> Result<Arc<dyn SourceSupplier>> {
        missing()
    }

    pub(crate) fn sink(_options: &Options) -> Result<Arc<dyn SinkSupplier>> {
        missing()
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn the_error_says_what_to_enable() {
            let session = crate::Session::builder().build().unwrap();
            let error = session.read_stream().format("kafka").load().unwrap_err().to_string();
            assert!(error.contains("feature `kafka`"), "{error}");
        }
    }
}
